//! Embedded DynamoDB and Secrets Manager, each on a loopback port of its own.

use std::fs::{File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;
use dynoxide::storage_backend::Clock;
use rusqlite::{Connection, OpenFlags};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::secrets_manager::{self, Clock as Now, OpenError, SecretsManager};
use crate::streams::TableStream;
use crate::template::{Template, TemplateError};

/// DynamoDB removes what has expired some time later; the local stack does so every minute.
const EXPIRY_SWEEP: Duration = Duration::from_secs(60);

/// Why the emulators could not be started. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// The data folder cannot be written.
    #[error("the data folder {} cannot be written: {source}. Choose another with --data-dir", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another stack uses the data folder.
    #[error("the data folder {} is in use by another stack. Stop that one, or choose another with --data-dir", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The table's file cannot be read.
    #[error("the table's database {} is damaged ({reason}). Put a good copy there, or start with --fresh to begin anew", path.display())]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The secrets' file cannot be read.
    #[error("{0}. Put a good copy there, or start with --fresh to begin anew")]
    Secrets(#[from] OpenError),
    /// The template does not define the table.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The table's stream cannot be read.
    #[error(
        "the table's stream cannot be read ({0}). A data folder of an earlier version has none: start with --fresh"
    )]
    Stream(String),
    /// No loopback port could be had.
    #[error("no loopback port could be opened: {0}")]
    Port(#[source] io::Error),
}

/// Where the emulators keep their data.
#[derive(Debug)]
pub enum Data {
    /// In memory, gone at the end.
    Memory,
    /// In a folder that nobody else uses meanwhile.
    Folder(DataFolder),
}

/// A data folder, locked for as long as this lives.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    const FILES: &'static [&'static str] =
        &["table.db", "table.db-wal", "table.db-shm", "secrets.db", "secrets.db-wal", "secrets.db-shm", "dev.json"];

    /// Makes the folder if it is not there, locks it, and empties it if `fresh`.
    ///
    /// # Errors
    /// [`EmulatorError::Folder`] or [`EmulatorError::InUse`].
    pub fn open(path: &Path, fresh: bool) -> Result<Self, EmulatorError> {
        let unusable = |source| EmulatorError::Folder { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        let lock =
            File::options().create(true).truncate(false).write(true).open(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(EmulatorError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        // A line of its own, so that a repository around it never takes secrets in.
        std::fs::write(path.join(".gitignore"), "*\n").map_err(unusable)?;
        if fresh {
            for file in Self::FILES {
                match std::fs::remove_file(path.join(file)) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
                    _ => {}
                }
            }
        }
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Running emulators. They stop when this is dropped.
#[derive(Debug)]
pub struct Emulators {
    /// Where DynamoDB answers.
    pub dynamodb: SocketAddr,
    /// Where Secrets Manager answers.
    pub secrets_manager: SocketAddr,
    table: StreamedTable,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _data: Data,
}

/// The embedded DynamoDB's table, for whoever follows its stream.
struct StreamedTable {
    database: Database,
    name: String,
}

impl std::fmt::Debug for StreamedTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamedTable").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Emulators {
    /// Starts both over `data`, with `table` created as the template defines it.
    ///
    /// # Errors
    /// [`EmulatorError`].
    pub async fn start(
        template: &Template,
        table: &str,
        data: Data,
        secrets: secrets_manager::Options,
    ) -> Result<Self, EmulatorError> {
        let folder = match &data {
            Data::Memory => None,
            Data::Folder(folder) => Some(folder.path()),
        };
        let database = open_table(folder, template, table, &secrets.now)?;
        let secrets = match folder {
            Some(folder) => SecretsManager::open(&folder.join("secrets.db"), secrets)?,
            None => SecretsManager::memory(secrets)?,
        };
        let (stop, stopped) = watch::channel(false);
        let (dynamodb_listener, dynamodb) = loopback().await?;
        let (secrets_listener, secrets_manager) = loopback().await?;
        let tasks = vec![
            tokio::spawn(expire(database.clone(), stopped.clone())),
            tokio::spawn({
                let (database, stopped) = (database.clone(), until(stopped.clone()));
                async move {
                    if let Err(error) =
                        dynoxide::server::serve_with_shutdown(dynamodb_listener, database, stopped).await
                    {
                        tracing::error!(error, "the embedded DynamoDB stopped");
                    }
                }
            }),
            tokio::spawn(async move {
                let stopped = until(stopped);
                if let Err(error) = secrets_manager::serve_with_shutdown(secrets_listener, secrets, stopped).await {
                    tracing::error!(%error, "the embedded Secrets Manager stopped");
                }
            }),
        ];
        let table = StreamedTable { database, name: table.to_owned() };
        Ok(Self { dynamodb, secrets_manager, table, stop, tasks, _data: data })
    }

    /// A reader of the table's stream, which begins with what is written from now on.
    ///
    /// # Errors
    /// [`EmulatorError::Stream`].
    pub fn stream(&self) -> Result<TableStream, EmulatorError> {
        TableStream::latest(&self.table.database, &self.table.name).map_err(EmulatorError::Stream)
    }

    /// Stops both, once what is under way has been answered.
    pub async fn stop(mut self) {
        let _ = self.stop.send(true);
        for task in std::mem::take(&mut self.tasks) {
            // A client that never finishes its request must not hold the end up.
            let _ = tokio::time::timeout(Duration::from_secs(2), task).await;
        }
    }
}

impl Drop for Emulators {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

async fn loopback() -> Result<(TcpListener, SocketAddr), EmulatorError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(EmulatorError::Port)?;
    let address = listener.local_addr().map_err(EmulatorError::Port)?;
    Ok((listener, address))
}

/// Time as its owner tells it. Without it, items would expire at the machine's time while a test's stands still.
struct Told(Now);

impl Clock for Told {
    fn now_unix_secs(&self) -> u64 {
        u64::try_from((self.0)().as_second()).unwrap_or_default()
    }

    fn now_unix_secs_f64(&self) -> f64 {
        (self.0)().as_duration().as_secs_f64()
    }
}

fn open_table(folder: Option<&Path>, template: &Template, table: &str, now: &Now) -> Result<Database, EmulatorError> {
    let path = folder.map(|folder| folder.join("table.db")).unwrap_or_default();
    let damaged = |reason: String| EmulatorError::Table { path: path.clone(), reason };
    let malformed = |error: serde_json::Error| damaged(error.to_string());
    if path.exists() {
        check(&path).map_err(damaged)?;
    }
    let database = match folder {
        Some(_) => Database::new(&path.to_string_lossy()),
        None => Database::memory_with_clock(Arc::new(Told(Arc::clone(now)))),
    };
    let database = database.map_err(|error| damaged(error.to_string()))?;
    let known = database.get_table_metadata(table).map_err(|error| damaged(error.to_string()))?;
    if known.is_none() {
        let create = serde_json::from_value(template.create_table(table)?).map_err(malformed)?;
        database.create_table(create).map_err(|error| damaged(error.to_string()))?;
        let expiry = serde_json::from_value(template.time_to_live(table)?).map_err(malformed)?;
        database.update_time_to_live(expiry).map_err(|error| damaged(error.to_string()))?;
    }
    if folder.is_some() {
        forget_what_was_streamed(&path).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(database)
}

/// DynamoDB forgets a stream's records after a day. The embedded one keeps them all, and looks through all of them at each
/// write, so its file is told to keep only the newest.
fn forget_what_was_streamed(path: &Path) -> rusqlite::Result<()> {
    Connection::open(path)?.execute_batch(
        "CREATE TRIGGER IF NOT EXISTS forget_what_was_streamed AFTER INSERT ON _stream_records BEGIN
             DELETE FROM _stream_records WHERE rowid <= NEW.rowid - 1000;
         END",
    )
}

/// Finds damage before anything is written: the embedded DynamoDB would notice a broken page only when it is asked for
/// what was there.
fn check(path: &Path) -> Result<(), String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let report = Connection::open_with_flags(path, flags)
        .and_then(|connection| connection.pragma_query_value(None, "quick_check", |row| row.get::<_, String>(0)));
    match report {
        Ok(report) if report == "ok" => Ok(()),
        Ok(_) => Err("some of its pages are broken".into()),
        Err(error) => Err(error.to_string()),
    }
}

async fn expire(database: Database, mut stopped: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = tokio::time::sleep(EXPIRY_SWEEP) => {}
        }
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "expired items could not be removed"),
            Err(error) => tracing::warn!(%error, "expired items could not be removed"),
        }
    }
}
