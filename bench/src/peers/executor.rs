//! The servers on tokio: one thread, which runs a task for each connection.

use std::error::Error;
use std::net::TcpListener;

use tokio::net::TcpStream;
use tokio::runtime;
use tokio::task::unconstrained;

/// How a connection ended; nobody asks.
pub type Ended = Result<(), Box<dyn Error + Send + Sync>>;

/// Accepts connections and has `handle` serve each, until the process is ended.
pub fn serve<F>(listener: TcpListener, handle: fn(TcpStream) -> F) -> Result<(), Box<dyn Error>>
where
    F: Future<Output = Ended> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // As the peers' own servers for benchmarks have it.
            tokio::spawn(unconstrained(handle(stream)));
        }
    })
}
