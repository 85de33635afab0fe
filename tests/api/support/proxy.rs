//! A proxy in front of PostgreSQL that loses the acknowledgement of a commit.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::Notify,
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
}

/// A proxy in front of a test's database; it ends with the test.
pub struct Proxy {
    /// The database's URL through the proxy.
    pub url: String,
    next: Arc<AtomicU8>,
    lost: Arc<Notify>,
}

impl Proxy {
    pub async fn start(database: &TestDatabase) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (path, parameters) = database.url.split_once('?').expect("a socket's folder");
        let name = path.rsplit('/').next().expect("a name");
        let folder = parameters.split('&').find_map(|part| part.strip_prefix("host=")).expect("a socket's folder");
        let socket = format!("{folder}/.s.PGSQL.5432");
        let (next, lost) = (Arc::new(AtomicU8::new(0)), Arc::new(Notify::new()));
        let proxy = Self {
            url: format!("postgresql://clinicd@127.0.0.1:{port}/{name}?sslmode=disable"),
            next: next.clone(),
            lost: lost.clone(),
        };
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = UnixStream::connect(&socket).await.expect("the test's PostgreSQL");
                tokio::spawn(pass_on(client, server, next.clone(), lost.clone()));
            }
        });
        proxy
    }

    /// Decides about the next commit; the one after it is acknowledged again.
    pub fn next(&self, acknowledgement: Acknowledgement) {
        self.next.store(acknowledgement as u8, Ordering::SeqCst);
    }

    /// Waits until a commit is done whose acknowledgement was lost.
    pub async fn lost(&self) {
        self.lost.notified().await;
    }
}

async fn pass_on(mut client: TcpStream, mut server: UnixStream, next: Arc<AtomicU8>, lost: Arc<Notify>) {
    let (mut asked, mut answered) = (vec![0; 65536], vec![0; 65536]);
    let mut losing = Acknowledgement::Arrives as u8;
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let Ok(count @ 1..) = read else { return };
                // As the program sends it: a simple query of this one word.
                if asked[..count].windows(6).any(|word| word == b"COMMIT") {
                    losing = next.swap(Acknowledgement::Arrives as u8, Ordering::SeqCst);
                }
                if server.write_all(&asked[..count]).await.is_err() { return }
            }
            read = server.read(&mut answered) => {
                let Ok(count @ 1..) = read else { return };
                if losing != Acknowledgement::Arrives as u8 {
                    // The commit is done: the server has said so.
                    lost.notify_one();
                    if losing == Acknowledgement::IsCut as u8 { return }
                    continue;
                }
                if client.write_all(&answered[..count]).await.is_err() { return }
            }
        }
    }
}
