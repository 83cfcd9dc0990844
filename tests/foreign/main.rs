//! What comes from outside: bodies and inputs that were not written for this project, read by tables. Each file of data
//! notes its source.

mod providers;
