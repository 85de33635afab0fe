//! A proxy in front of PostgreSQL that loses acknowledgements, delays requests, and stops forwarding.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, watch};

use super::TestDatabase;

/// What the proxy does with the acknowledgement of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Forwards it.
    Forward = 0,
    /// Withholds it, and everything after it on that connection.
    Withhold = 1,
    /// Cuts the connection instead.
    CutConnection = 2,
    /// Cuts all connections, and refuses new ones until the proxy is opened again.
    CutAll = 3,
    /// Forwards it when it is released.
    ForwardOnRelease = 4,
}

/// A failure of the connections that are currently open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Both ends of listening connections (`LISTEN`) stay open, but nothing is forwarded.
    ListenersSilent,
    /// The server's end of listening connections is closed. The program's end stays open, but receives nothing.
    ListenersHalfOpen,
    /// Both ends of listening connections are closed.
    ListenersCut,
    /// Both ends of all connections stay open, but nothing is forwarded.
    AllSilent,
}

/// A request that is held back before the server gets it.
enum Hold {
    /// A commit.
    Commit,
    /// A request that contains the text, after this number of others that do.
    Text(String, usize),
}

/// A proxy in front of a test's database. It ends with the test.
pub struct Proxy {
    /// The database's URL through the proxy.
    pub url: String,
    way: Arc<Way>,
}

/// The state shared by all connections of a proxy.
struct Way {
    next: AtomicU8,
    lost: Notify,
    is_shut: watch::Sender<bool>,
    is_frozen: AtomicBool,
    knocks: AtomicU32,
    failure: watch::Sender<Failure>,
    /// Only the commits of transactions that contained this text count.
    mark: Mutex<String>,
    to_hold: Mutex<Option<Hold>>,
    held: Notify,
    /// Sends true when held requests continue, and false when their connections are cut.
    release: watch::Sender<bool>,
}

impl Proxy {
    pub async fn start(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (path, parameters) = database.url.split_once('?').expect("a socket's folder");
        let name = path.rsplit('/').next().expect("a name");
        let folder = parameters.split('&').find_map(|part| part.strip_prefix("host=")).expect("a socket's folder");
        let socket = format!("{folder}/.s.PGSQL.5432");
        let way = Arc::new(Way {
            next: AtomicU8::new(0),
            lost: Notify::new(),
            is_shut: watch::Sender::new(false),
            is_frozen: AtomicBool::new(false),
            knocks: AtomicU32::new(0),
            failure: watch::Sender::new(Failure::AllSilent),
            mark: Mutex::default(),
            to_hold: Mutex::new(None),
            held: Notify::new(),
            release: watch::Sender::new(true),
        });
        let url = format!("postgresql://clinicd@127.0.0.1:{port}/{name}?sslmode=disable");
        let proxy = Self { url, way: way.clone() };
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                way.knocks.fetch_add(1, Ordering::SeqCst);
                if way.is_frozen.load(Ordering::SeqCst) {
                    let way = way.clone();
                    tokio::spawn(async move {
                        while let Ok(1..) = client.read(&mut [0; 1024]).await {
                            way.held.notify_one()
                        }
                    });
                } else if !*way.is_shut.borrow() {
                    let server = UnixStream::connect(&socket).await.expect("the test's PostgreSQL");
                    tokio::spawn(pass_on(client, server, way.clone()));
                }
            }
        });
        proxy
    }

    /// Counts only the commits of transactions that contained this text, and ignores other work.
    pub fn mark(&self, text: &str) {
        text.clone_into(&mut self.way.mark.lock().unwrap());
    }

    /// Decides about the next commit. The one after it is acknowledged normally.
    pub fn next(&self, acknowledgement: Acknowledgement) {
        self.way.next.store(acknowledgement as u8, Ordering::SeqCst);
    }

    /// Cuts all connections, and closes every new one.
    pub fn shut(&self) {
        self.way.is_shut.send_replace(true);
    }

    /// Returns how many connections were attempted.
    pub fn knocks(&self) -> u32 {
        self.way.knocks.load(Ordering::SeqCst)
    }

    /// Admits connections again.
    pub fn open(&self) {
        self.way.is_shut.send_replace(false);
    }

    /// Waits until a commit was made whose acknowledgement was lost.
    pub async fn lost(&self) {
        self.way.lost.notified().await;
    }

    /// Holds back the next commit before the server gets it.
    pub fn hold_commit(&self) {
        self.hold(Hold::Commit);
    }

    /// Holds back the `nth` request from now on that contains this text, before the server gets it.
    pub fn hold_request(&self, text: &str, nth: usize) {
        self.hold(Hold::Text(text.to_owned(), nth));
    }

    fn hold(&self, what: Hold) {
        let _ = self.way.held.notified().now_or_never();
        *self.way.to_hold.lock().unwrap() = Some(what);
    }

    /// Waits until the request to be held has arrived, or until a request arrives on a silent connection.
    pub async fn held(&self) {
        self.way.held.notified().await;
    }

    /// Forwards the held request, even if the program is gone. Holds no further request.
    pub fn release(&self) {
        *self.way.to_hold.lock().unwrap() = None;
        self.way.release.send_replace(true);
    }

    /// Cuts the connection of the held request, so that the server never gets it. Holds no further request.
    pub fn cut(&self) {
        *self.way.to_hold.lock().unwrap() = None;
        self.way.release.send_replace(false);
    }

    /// Applies a failure to the currently open connections. Later connections are not affected.
    pub fn fail(&self, failure: Failure) {
        self.way.failure.send_replace(failure);
    }

    /// Stops forwarding on all connections, including later ones.
    pub fn freeze(&self) {
        self.way.is_frozen.store(true, Ordering::SeqCst);
        self.fail(Failure::AllSilent);
    }
}

impl Way {
    fn is_to_be_held(&self, asked: &[u8], commits: bool) -> bool {
        let mut to_hold = self.to_hold.lock().unwrap();
        let is_that = match to_hold.as_mut() {
            None => false,
            Some(Hold::Commit) => commits,
            Some(Hold::Text(text, left)) => {
                *left -= usize::from(contains(asked, text));
                *left == 0
            }
        };
        if is_that {
            *to_hold = None;
        }
        is_that
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    text.is_empty() || bytes.windows(text.len()).any(|word| word == text.as_bytes())
}

/// Returns the name under which a request prepares the statement that books. Outside a transaction this statement is
/// one by itself.
fn booking_statement(asked: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(asked);
    let before = &text[..text.find("FROM book(")?];
    let name = &before[before.rfind("sqlx_s_")?..];
    Some(name[..=name.find('\0')?].to_owned())
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, way: Arc<Way>) {
    let (mut is_shut, mut failure) = (way.is_shut.subscribe(), way.failure.subscribe());
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut losing = Acknowledgement::Forward as u8;
    let (mut is_listening, mut is_marked) = (false, false);
    // A claim of a key disables durability for its commit. It is not the commit of the work.
    let mut is_claim = false;
    let (mut is_in_transaction, mut books) = (false, None);
    loop {
        tokio::select! {
            () = async { drop(is_shut.wait_for(|is_shut| *is_shut).await) } => return,
            Ok(()) = failure.changed() => {
                let failure = *failure.borrow_and_update();
                match failure {
                    Failure::AllSilent => {}
                    _ if !is_listening => continue,
                    Failure::ListenersCut => return,
                    Failure::ListenersHalfOpen => drop(server.shutdown().await),
                    Failure::ListenersSilent => {}
                }
                // The server's end outlives the program's, because the proxy does not close it.
                tokio::spawn(async move { while let Ok(1..) = server.read(&mut answered).await {} });
                while let Ok(1..) = client.read(&mut asked).await { way.held.notify_one() }
                return;
            }
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                let asks = |text: &str| contains(&asked[..count], text);
                is_listening |= asks("LISTEN ");
                is_marked = (is_marked && !asks("BEGIN")) || asks(&way.mark.lock().unwrap());
                is_claim |= asks("synchronous_commit");
                // The program sends them as simple queries of one word.
                is_in_transaction = (is_in_transaction || asks("BEGIN")) && !asks("COMMIT") && !asks("ROLLBACK");
                let books_at_once = !is_in_transaction && books.as_deref().is_some_and(asks);
                let commits = is_marked && (books_at_once || asks("COMMIT") && !std::mem::take(&mut is_claim));
                books = booking_statement(&asked[..count]).or(books);
                let mut release = way.release.subscribe();
                if way.is_to_be_held(&asked[..count], commits) {
                    way.held.notify_one();
                    let _ = release.changed().await;
                    if !*release.borrow() { return }
                }
                if commits {
                    is_marked = false;
                    losing = way.next.swap(Acknowledgement::Forward as u8, Ordering::SeqCst);
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if losing != Acknowledgement::Forward as u8 {
                    // The server has acknowledged the commit, so it is done.
                    if losing == Acknowledgement::CutAll as u8 {
                        way.is_shut.send_replace(true);
                    }
                    let mut release = way.release.subscribe();
                    way.lost.notify_one();
                    if losing == Acknowledgement::Withhold as u8 { continue }
                    if losing != Acknowledgement::ForwardOnRelease as u8 { return }
                    let _ = release.changed().await;
                    losing = Acknowledgement::Forward as u8;
                }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
