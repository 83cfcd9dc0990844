//! Log lines on their way out: they wait in a queue, and a thread of its own writes them.
//!
//! Whoever takes the lines may be slow or gone: a pipe that nobody reads, a busy disk. No call waits for that. Lines that
//! find the queue full are dropped and counted, and once lines are taken again one of them says how many are missing.

use std::{
    fmt,
    io::{self, ErrorKind, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use prometheus_client::metrics::counter::Counter;
use tracing_subscriber::fmt::MakeWriter;

/// Bytes that may wait: about 1,500 lines, half a second of the most that a core answers. As many more may be being written.
const ROOM: usize = 512 * 1024;
/// What a buffer keeps of its memory when it has been written.
const KEPT: usize = 32 * 1024;
/// Until an output that takes nothing just now is asked again; only one that somebody else made non-blocking says so.
const AGAIN: Duration = Duration::from_millis(10);
/// The least time between two writes. To wake the thread for each line costs more than the line does.
const GATHERING: Duration = Duration::from_millis(5);

/// The queue of a log. Clones share it.
#[derive(Clone)]
pub(super) struct LogWriter(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    written: Condvar,
    lost: Counter,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// Lines that found no room after these.
    dropped: u64,
    is_writing: bool,
    /// Whether the thread waits for the next line.
    is_awaited: bool,
}

impl LogWriter {
    /// A queue that counts in `lost` what it drops. Nothing of it is written before [`start`](Self::start).
    pub(super) fn new(lost: Counter) -> Self {
        Self(Arc::new(Queue { waiting: Mutex::default(), filled: Condvar::new(), written: Condvar::new(), lost }))
    }

    /// Begins to write to `out`. Before the lines that came after dropped ones are written, `tell` says how many these were,
    /// by a line.
    ///
    /// # Errors
    ///
    /// When the system starts no thread.
    pub(super) fn start(&self, out: impl Write + Send + 'static, tell: fn(u64)) -> io::Result<()> {
        let queue = Arc::clone(&self.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || queue.write_to(out, tell)).map(drop)
    }

    /// Waits until all is written, for so long at most.
    pub(super) fn flush(&self, longest: Duration) {
        let is_left = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        drop(self.0.written.wait_timeout_while(self.0.lock(), longest, is_left));
    }
}

impl Queue {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.lines.len() + line.len() > ROOM {
            waiting.dropped += 1;
            self.lost.inc();
        } else {
            waiting.lines.extend_from_slice(line);
        }
        let is_awaited = mem::take(&mut waiting.is_awaited);
        drop(waiting);
        if is_awaited {
            self.filled.notify_one();
        }
    }

    fn write_to(&self, mut out: impl Write, tell: fn(u64)) {
        let (mut lines, mut untold, mut is_taken, mut is_torn) = (Vec::new(), 0, true, false);
        loop {
            untold += self.take(&mut lines);
            // there is room for it now; an output that fails would only lose it as well
            if untold > 0 && is_taken {
                tell(mem::take(&mut untold));
            }
            // a line of which only the beginning was taken does not spoil the next one
            is_torn = is_torn && !write(&mut out, b"\n").is_empty();
            let unwritten = if is_torn { &lines } else { write(&mut out, &lines) };
            let written = &lines[..lines.len() - unwritten.len()];
            is_torn = written.last().map_or(is_torn, |last| *last != b'\n');
            is_taken = unwritten.is_empty();
            let lost = unwritten.split_inclusive(|byte| *byte == b'\n').count() as u64;
            self.lost.inc_by(lost);
            untold += lost;
            lines.clear();
            lines.shrink_to(KEPT);
            self.lock().is_writing = false;
            self.written.notify_all();
            thread::sleep(GATHERING);
        }
    }

    /// Waits for lines and takes all, in exchange for an empty buffer. How many were dropped since.
    fn take(&self, lines: &mut Vec<u8>) -> u64 {
        let is_idle = |waiting: &mut Waiting| {
            waiting.is_awaited = waiting.lines.is_empty() && waiting.dropped == 0;
            waiting.is_awaited
        };
        let mut waiting = self.filled.wait_while(self.lock(), is_idle).unwrap_or_else(PoisonError::into_inner);
        mem::swap(&mut waiting.lines, lines);
        waiting.is_writing = true;
        mem::take(&mut waiting.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes as far as it goes; what is left.
fn write<'a>(out: &mut impl Write, mut lines: &'a [u8]) -> &'a [u8] {
    while !lines.is_empty() {
        match out.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = &lines[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(AGAIN),
            Err(_) => break,
        }
    }
    lines
}

/// Each write is a line, or some, whole.
impl Write for &LogWriter {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogWriter")
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            atomic::{AtomicU64, Ordering},
            mpsc::{Receiver, SyncSender, sync_channel},
        },
        time::Instant,
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Takes what is written when it is asked for, or fails.
    struct Asked(SyncSender<Vec<u8>>, Receiver<io::Result<()>>);

    impl Write for Asked {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1.recv().unwrap_or(Ok(()))?;
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A log whose output stands still: what it writes comes at the receiver, one write for each word of the sender.
    fn standing(tell: fn(u64)) -> (LogWriter, Counter, SyncSender<io::Result<()>>, Receiver<Vec<u8>>) {
        let (lost, (go, may_go), (wrote, written)) = (Counter::default(), sync_channel(100), sync_channel(100));
        let log = LogWriter::new(lost.clone());
        log.start(Asked(wrote, may_go), tell).unwrap();
        (log, lost, go, written)
    }

    fn line(log: &LogWriter, byte: u8, length: usize) {
        let mut bytes = vec![byte; length];
        bytes.push(b'\n');
        (&*log).write_all(&bytes).unwrap();
    }

    /// Waits until the thread has taken what there was, and writes it.
    fn is_being_written(log: &LogWriter) {
        while !log.0.lock().lines.is_empty() {
            thread::yield_now();
        }
    }

    #[test]
    fn what_finds_no_room_is_dropped_and_counted_and_told_once_lines_are_taken_again() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let (log, lost, go, written) = standing(|lines| _ = TOLD.fetch_add(lines, Ordering::SeqCst));
        line(&log, b'a', 10);
        is_being_written(&log);
        for _ in 0..100 {
            line(&log, b'b', ROOM / 64 - 1);
        }
        line(&log, b'c', ROOM);
        assert_eq!((lost.get(), TOLD.load(Ordering::SeqCst)), (37, 0));
        assert!(log.0.lock().lines.len() <= ROOM);
        go.send(Ok(())).unwrap();
        go.send(Ok(())).unwrap();
        assert_eq!(written.recv().unwrap().len(), 11);
        assert_eq!(written.recv().unwrap().len(), ROOM);
        assert_eq!((lost.get(), TOLD.load(Ordering::SeqCst)), (37, 37));
        line(&log, b'd', 3);
        go.send(Ok(())).unwrap();
        assert_eq!(written.recv().unwrap(), b"ddd\n");
        log.flush(LONG);
        assert!(log.0.lock().lines.capacity() <= ROOM, "memory is given back");
    }

    #[test]
    fn lines_of_an_output_that_fails_are_lost_and_told_when_it_works_again() {
        static TOLD: AtomicU64 = AtomicU64::new(0);
        let (log, lost, go, written) = standing(|lines| _ = TOLD.fetch_add(lines, Ordering::SeqCst));
        for _ in 0..3 {
            go.send(Err(ErrorKind::BrokenPipe.into())).unwrap();
            line(&log, b'a', 1);
            log.flush(LONG);
        }
        assert_eq!((lost.get(), TOLD.load(Ordering::SeqCst)), (3, 0), "a line about it would be lost too");
        for word in [Err(ErrorKind::Interrupted.into()), Err(ErrorKind::WouldBlock.into()), Ok(()), Ok(())] {
            go.send(word).unwrap();
        }
        line(&log, b'b', 1);
        assert_eq!(written.recv().unwrap(), b"b\n");
        line(&log, b'c', 1);
        assert_eq!(written.recv().unwrap(), b"c\n");
        assert_eq!((lost.get(), TOLD.load(Ordering::SeqCst)), (3, 3));
    }

    /// Takes so many bytes at each write; fails where there is none.
    struct Taking(std::collections::VecDeque<usize>, Arc<Mutex<Vec<u8>>>);

    impl Write for Taking {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.0.pop_front().unwrap_or(usize::MAX);
            if most == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            let taken = most.min(bytes.len());
            self.1.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_taken_in_part_does_not_spoil_the_next_one() {
        let (log, taken) = (LogWriter::new(Counter::default()), Arc::default());
        log.start(Taking([2, 0, 0].into(), Arc::clone(&taken)), |_| {}).unwrap();
        for byte in *b"abc" {
            line(&log, byte, 4);
            log.flush(LONG);
        }
        assert_eq!(taken.lock().unwrap().as_slice(), b"aa\ncccc\n");
        assert_eq!(log.0.lost.get(), 2);
    }

    /// Counts writes.
    struct Counting(Arc<AtomicU64>);

    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_follow_each_other_closely_are_written_together() {
        let (log, writes) = (LogWriter::new(Counter::default()), Arc::default());
        log.start(Counting(Arc::clone(&writes)), |_| {}).unwrap();
        let begun = Instant::now();
        for _ in 0..200 {
            line(&log, b'a', 300);
            thread::sleep(Duration::from_micros(100));
        }
        log.flush(LONG);
        let most = begun.elapsed().as_millis() / GATHERING.as_millis() + 2;
        let writes = writes.load(Ordering::SeqCst);
        assert!(u128::from(writes) <= most, "{writes} writes, {most} at most");
    }

    #[test]
    fn a_flush_waits_for_what_is_being_written_and_no_longer_than_it_may() {
        let (log, _, go, written) = standing(|_| {});
        line(&log, b'a', 1);
        log.flush(Duration::from_millis(20));
        assert!(written.try_recv().is_err(), "the output stands still");
        go.send(Ok(())).unwrap();
        log.flush(LONG);
        assert_eq!(written.try_recv().unwrap(), b"a\n");
    }
}
