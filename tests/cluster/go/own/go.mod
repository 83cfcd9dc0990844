module hookswitch.dev/tests/cluster/own

go 1.26
