//! sockudo-ws, without the timers that no measurement meets.

use futures_util::{SinkExt, StreamExt};
use sockudo_ws::server::WebSocketServer;
use sockudo_ws::{Config, Http1, WebSocketStream};
use tokio::net::TcpStream;

use super::executor::Ended;

/// Each message is sent for itself.
pub async fn serve(stream: TcpStream) -> Ended {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

/// Messages are fed to the sink, which reading flushes before it waits.
pub async fn serve_feeding(stream: TcpStream) -> Ended {
    let mut socket = accept(stream).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.feed(message).await?;
        }
    }
    Ok(())
}

async fn accept(stream: TcpStream) -> Result<WebSocketStream<TcpStream>, sockudo_ws::Error> {
    let config = Config::builder().auto_ping(false).idle_timeout(0).build();
    let (socket, _) = WebSocketServer::<Http1>::new(config).accept_raw(stream).await?;
    Ok(socket)
}
