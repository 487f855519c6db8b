//! No value is shown where it was not asked for.

use std::sync::{Arc, Mutex};

use crate::emulator::{Emulator, assert_code, token};

#[tokio::test]
async fn debug_output_shows_no_value() {
    let emulator = Emulator::start().await;
    emulator.create("a", "hunter2").await;
    assert!(!format!("{:?}", emulator.secrets).contains("hunter2"));
}

#[tokio::test]
async fn the_log_shows_no_value() {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    // For the whole process: with one for this thread only, tests beside it could switch its log lines off.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let emulator = Emulator::start().await;
    let create = emulator.client.create_secret().name("a").secret_string("hunter2").client_request_token(token(1));
    create.clone().send().await.unwrap();
    assert_code(create.secret_string("hunter2!").send().await, "ResourceExistsException");
    emulator.get("a").await;
    emulator.raw("secretsmanager.CreateSecret", r#"{"SecretString": ["hunter2"]}"#).await;
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("GetSecretValue") && !log.contains("hunter2"), "{log}");
}
