//! A proxy in front of PostgreSQL that loses acknowledgements, holds requests back, and goes silent.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering},
};

use futures_util::FutureExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{Notify, watch},
};

use super::TestDatabase;

/// What becomes of the acknowledgement of the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledgement {
    /// It arrives.
    Arrives = 0,
    /// It is kept back, and so is all that follows on that connection.
    IsKeptBack = 1,
    /// The connection is cut instead.
    IsCut = 2,
    /// All connections are cut, and none is let in until the proxy is told so.
    IsTheLast = 3,
    /// It arrives once it is released.
    Waits = 4,
}

/// What befalls the connections that are open by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Of those that listen (`LISTEN`) both ends stay open, and nothing arrives at either.
    ListenersSilent,
    /// Of those that listen the server's end is closed; the program's stays open, and nothing arrives there.
    ListenersHalfOpen,
    /// Of those that listen both ends are closed.
    ListenersCut,
    /// Of all both ends stay open, and nothing arrives at either.
    AllSilent,
}

/// A request that is held back before the server gets it.
enum Hold {
    /// A commit.
    Commit,
    /// One that contains the text, after so many of them.
    Text(String, usize),
}

/// A proxy in front of a test's database; it ends with the test.
pub struct Proxy {
    /// The database's URL through the proxy.
    pub url: String,
    way: Arc<Way>,
}

/// What all connections of a proxy share.
struct Way {
    next: AtomicU8,
    lost: Notify,
    is_shut: watch::Sender<bool>,
    is_frozen: AtomicBool,
    knocks: AtomicU32,
    failure: watch::Sender<Failure>,
    /// Only the commits of transactions that spoke of this count.
    mark: Mutex<String>,
    to_hold: Mutex<Option<Hold>>,
    held: Notify,
    /// Told when what is held goes on (true) or its connection is cut (false).
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

    /// From now on only the commits count whose transaction spoke of this text: not those of other work.
    pub fn mark(&self, text: &str) {
        text.clone_into(&mut self.way.mark.lock().unwrap());
    }

    /// Decides about the next commit; the one after it is acknowledged again.
    pub fn next(&self, acknowledgement: Acknowledgement) {
        self.way.next.store(acknowledgement as u8, Ordering::SeqCst);
    }

    /// Cuts all connections, and closes each that comes.
    pub fn shut(&self) {
        self.way.is_shut.send_replace(true);
    }

    /// How often somebody connected.
    pub fn knocks(&self) -> u32 {
        self.way.knocks.load(Ordering::SeqCst)
    }

    /// Lets connections in again.
    pub fn open(&self) {
        self.way.is_shut.send_replace(false);
    }

    /// Waits until a commit is done whose acknowledgement was lost.
    pub async fn lost(&self) {
        self.way.lost.notified().await;
    }

    /// Holds back the next commit before the server gets it.
    pub fn hold_commit(&self) {
        self.hold(Hold::Commit);
    }

    /// Holds back, before the server gets it, the `nth` request from now on that contains this text.
    pub fn hold_request(&self, text: &str, nth: usize) {
        self.hold(Hold::Text(text.to_owned(), nth));
    }

    fn hold(&self, what: Hold) {
        let _ = self.way.held.notified().now_or_never();
        *self.way.to_hold.lock().unwrap() = Some(what);
    }

    /// Waits until that request has come, or one that is met by silence.
    pub async fn held(&self) {
        self.way.held.notified().await;
    }

    /// Lets what is held go on, also where the program has gone meanwhile; nothing else is held.
    pub fn release(&self) {
        *self.way.to_hold.lock().unwrap() = None;
        self.way.release.send_replace(true);
    }

    /// Cuts the connection of what is held: the server never gets it; nothing else is held.
    pub fn cut(&self) {
        *self.way.to_hold.lock().unwrap() = None;
        self.way.release.send_replace(false);
    }

    /// Lets that befall the connections that are open by now; those that come later are not touched.
    pub fn fail(&self, failure: Failure) {
        self.way.failure.send_replace(failure);
    }

    /// From now on nothing arrives anywhere, also on connections that come later.
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

/// The name under which a request prepares the statement that books, which is a transaction by itself outside of others.
fn booking_statement(asked: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(asked);
    let before = &text[..text.find("FROM book(")?];
    let name = &before[before.rfind("sqlx_s_")?..];
    Some(name[..=name.find('\0')?].to_owned())
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, way: Arc<Way>) {
    let (mut is_shut, mut failure) = (way.is_shut.subscribe(), way.failure.subscribe());
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut losing = Acknowledgement::Arrives as u8;
    let (mut is_listening, mut is_marked) = (false, false);
    // Who claims a key says that the commit need not be durable: it is not the commit of the work.
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
                // The server's end lasts longer than the program's: nobody tells it.
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
                // As the program sends them: simple queries of one word.
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
                    losing = way.next.swap(Acknowledgement::Arrives as u8, Ordering::SeqCst);
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if losing != Acknowledgement::Arrives as u8 {
                    // The commit is done: the server has said so.
                    if losing == Acknowledgement::IsTheLast as u8 {
                        way.is_shut.send_replace(true);
                    }
                    let mut release = way.release.subscribe();
                    way.lost.notify_one();
                    if losing == Acknowledgement::IsKeptBack as u8 { continue }
                    if losing != Acknowledgement::Waits as u8 { return }
                    let _ = release.changed().await;
                    losing = Acknowledgement::Arrives as u8;
                }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
