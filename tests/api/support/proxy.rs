//! A proxy in front of PostgreSQL that loses the acknowledgement of a commit.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

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
}

impl Proxy {
    pub async fn start(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (path, parameters) = database.url.split_once('?').expect("a socket's folder");
        let name = path.rsplit('/').next().expect("a name");
        let folder = parameters.split('&').find_map(|part| part.strip_prefix("host=")).expect("a socket's folder");
        let socket = format!("{folder}/.s.PGSQL.5432");
        let way = Arc::new(Way { next: AtomicU8::new(0), lost: Notify::new(), is_shut: watch::Sender::new(false) });
        let url = format!("postgresql://clinicd@127.0.0.1:{port}/{name}?sslmode=disable");
        let proxy = Self { url, way: way.clone() };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if !*way.is_shut.borrow() {
                    let server = UnixStream::connect(&socket).await.expect("the test's PostgreSQL");
                    tokio::spawn(pass_on(client, server, way.clone()));
                }
            }
        });
        proxy
    }

    /// Decides about the next commit; the one after it is acknowledged again.
    pub fn next(&self, acknowledgement: Acknowledgement) {
        self.way.next.store(acknowledgement as u8, Ordering::SeqCst);
    }

    /// Lets connections in again.
    pub fn open(&self) {
        self.way.is_shut.send_replace(false);
    }

    /// Waits until a commit is done whose acknowledgement was lost.
    pub async fn lost(&self) {
        self.way.lost.notified().await;
    }
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, way: Arc<Way>) {
    let mut is_shut = way.is_shut.subscribe();
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut losing = Acknowledgement::Arrives as u8;
    loop {
        tokio::select! {
            () = async { drop(is_shut.wait_for(|is_shut| *is_shut).await) } => return,
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                // As the program sends it: a simple query of this one word.
                if asked[..count].windows(6).any(|word| word == b"COMMIT") {
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
                    way.lost.notify_one();
                    if losing == Acknowledgement::IsKeptBack as u8 { continue }
                    return;
                }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
