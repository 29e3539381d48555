//! `hearth serve` with a token, a quota and a ledger: see the library beside it. Settings are the variables of Hearth.
//!
//!     EMBED_TOKEN=secret cargo run -p hearth-embed
//!     curl -H 'Authorization: Bearer secret' 127.0.0.1:8080/v1/ledger

use std::error::Error;

use hearth_embed::{Ledger, Quota, extend};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().init();
    let token = std::env::var("EMBED_TOKEN").map_err(|_| "EMBED_TOKEN is the token that requests have to bring")?;
    let builder = hearth::Server::builder().environment();
    let mut server = extend(builder, &token, Quota::default(), Ledger::default()).start().await?;
    tracing::info!("listening on http://{}", server.address());
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = server.failed() => {}
    }
    server.stop().await;
    Ok(())
}
