//! How processes find each other: rank 0 listens, the others look for it, and all hear the same verdict.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, ToSocketAddrs};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::{Result, WorldError};
use super::hello::{HELLO, Hello, Kind, Verdict};
use super::placement::Address;

/// How long a stranger may hold the door, and how long ranks have left to come once there is a reason to part.
const GRACE: Duration = Duration::from_secs(10);
/// Between two looks at the door.
const PAUSE: Duration = Duration::from_millis(5);
/// Between two tries to bind or to connect.
const RETRY: Duration = Duration::from_millis(100);

/// Takes the port on this host, which a process before this one may still be leaving.
pub(super) fn listen(address: &Address, limit: Duration) -> Result<TcpListener> {
    let until = Instant::now() + limit;
    loop {
        match bind(address) {
            Ok(listener) => return Ok(listener),
            Err(e) if e.kind() == ErrorKind::AddrInUse && Instant::now() < until => sleep(RETRY),
            Err(source) => return Err(WorldError::Listen { address: address.to_string(), source }),
        }
    }
}

/// Behind every name of this host but `localhost`, which only this host can reach.
fn bind(Address { host, port }: &Address) -> io::Result<TcpListener> {
    if matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") {
        return TcpListener::bind((host.as_str(), *port));
    }
    TcpListener::bind((Ipv6Addr::UNSPECIFIED, *port)).or_else(|e| match e.kind() {
        ErrorKind::AddrInUse => Err(e),
        // No IPv6 here.
        _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)),
    })
}

/// Rank 0 waits for all others: their connections, from rank 1 on. Strangers are shown the door.
pub(super) fn host(
    listener: TcpListener,
    me: &Hello,
    address: &Address,
    limit: Duration,
) -> Result<Vec<TcpStream>> {
    let failed = |source| WorldError::Listen { address: address.to_string(), source };
    listener.set_nonblocking(true).map_err(failed)?;
    let mut until = Instant::now() + limit;
    let mut verdict = Verdict::WELCOME;
    let mut door: Vec<Newcomer> = Vec::new();
    let mut seats: Vec<Option<TcpStream>> = (1..me.size).map(|_| None).collect();
    let mut refused = Vec::new();
    while seats.iter().flatten().count() + refused.len() < seats.len() && Instant::now() < until {
        // A connection that is lost before it is accepted is nobody's.
        while let Ok((stream, _)) = listener.accept() {
            door.extend(Newcomer::new(stream));
        }
        for newcomer in std::mem::take(&mut door) {
            let (hello, stream) = match newcomer.listen() {
                Heard::Hello(hello, stream) => (hello, stream),
                Heard::NotYet(newcomer) => {
                    door.push(newcomer);
                    continue;
                }
                Heard::Stranger => continue,
            };
            let mut judged = me.judge(&hello);
            if judged.kind == Kind::Welcome {
                let seat = &mut seats[hello.rank as usize - 1];
                if seat.is_none() {
                    *seat = Some(stream);
                    continue;
                }
                judged.kind = Kind::Twice;
            }
            refused.push(stream);
            if verdict.kind == Kind::Welcome {
                verdict = judged;
                until = until.min(Instant::now() + GRACE);
            }
        }
        sleep(PAUSE);
    }
    if let (Kind::Welcome, Some(empty)) = (verdict.kind, seats.iter().position(Option::is_none)) {
        let came = 1 + seats.iter().flatten().count() as u64;
        verdict =
            Verdict { kind: Kind::Absent, rank: empty as u32 + 1, found: came, expected: me.size.into() };
    }
    let mut seats: Vec<TcpStream> = seats.into_iter().flatten().collect();
    for stream in seats.iter_mut().chain(&mut refused) {
        // Whoever is gone by now is missed when it is needed.
        let _ = stream.set_nonblocking(false).and_then(|()| verdict.write(stream));
    }
    verdict.check(address, limit)?;
    Ok(seats)
}

/// A connection that has not said yet who it is.
struct Newcomer {
    stream: TcpStream,
    since: Instant,
    said: [u8; HELLO],
    len: usize,
}

enum Heard {
    Hello(Hello, TcpStream),
    NotYet(Newcomer),
    Stranger,
}

impl Newcomer {
    fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).ok()?;
        Some(Self { stream, since: Instant::now(), said: [0; HELLO], len: 0 })
    }

    fn listen(mut self) -> Heard {
        match self.stream.read(&mut self.said[self.len..]) {
            Ok(read) if read > 0 => {
                self.len += read;
                match Hello::decode(&self.said) {
                    _ if self.len < HELLO => Heard::NotYet(self),
                    Some(hello) => Heard::Hello(hello, self.stream),
                    None => Heard::Stranger,
                }
            }
            Err(e)
                if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
                    && self.since.elapsed() < GRACE =>
            {
                Heard::NotYet(self)
            }
            _ => Heard::Stranger,
        }
    }
}

/// Any other rank looks for rank 0.
pub(super) fn visit(me: &Hello, address: &Address, limit: Duration) -> Result<TcpStream> {
    let until = Instant::now() + limit;
    loop {
        match call(me, address, limit) {
            Ok((stream, verdict)) => {
                verdict.check(address, limit)?;
                return Ok(stream);
            }
            Err(_) if Instant::now() < until => sleep(RETRY),
            Err(source) => {
                let seconds = limit.as_secs();
                return Err(WorldError::Unreached { address: address.to_string(), seconds, source });
            }
        }
    }
}

/// One try. Rank 0 answers when all are there, or when its own limit is over.
fn call(me: &Hello, address: &Address, limit: Duration) -> io::Result<(TcpStream, Verdict)> {
    let mut error = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for socket in (address.host.as_str(), address.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&socket, GRACE) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(limit + limit.min(GRACE)))?;
                stream.write_all(&me.encode())?;
                let verdict = Verdict::read(&mut stream)?;
                return Ok((stream, verdict));
            }
            Err(e) => error = e,
        }
    }
    Err(error)
}
