//! How the stack ends: by Ctrl-C and by a termination signal, cleanly, also with a client that never finishes.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Stack;

#[tokio::test]
async fn ctrl_c_and_a_termination_signal_end_it_cleanly() {
    for signal in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let stack = Stack::start(folder.path()).await;
        let id = stack.services().create_slack("kept", "https://hooks.slack.com/services/T1/B1/x").await;
        stack.signal(signal).await;
        let ended = stack.ended().await;
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{signal}: {ended:?}");
        let said = format!("\nStopping. What was acknowledged is kept in {}.\n", folder.path().display());
        assert_eq!(ended.out, said);
        // Everything is in the files themselves: no log is left that only a later start would take in.
        for file in ["table.db-wal", "secrets.db-wal"] {
            assert!(!folder.path().join(file).exists(), "{file} is left after {signal}");
        }
        let again = Stack::start(folder.path()).await;
        again.services().expect(200, "GET", &format!("/{id}"), None).await;
    }
}

#[tokio::test]
async fn a_client_that_never_finishes_its_request_does_not_hold_the_end_up() {
    let folder = tempfile::tempdir().unwrap();
    let stack = Stack::start(folder.path()).await;
    let address = stack.url().trim_start_matches("http://").to_owned();
    let mut client = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /services/api/integrations HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
        stack.token("acme", "admin")
    );
    client.write_all(head.as_bytes()).await.unwrap();
    // The request has come as far as to the reading of its body, which never follows.
    let mut interim = [0; "HTTP/1.1 100 Continue".len()];
    client.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue");
    stack.stop().await;
}
