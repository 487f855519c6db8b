//! The database: its schema, how it is opened, and the reads and writes that operations are made of.
//!
//! Three tables: secrets, their versions, and their labels. The labels' primary key (secret and label) holds "one
//! version at most" in the file too. Row ids are never used twice, so they order secrets and versions by creation.
//!
//! The journal is a write-ahead log, synced at every commit. SQLite gives the log the database's own file mode, so it is
//! as private. Deleted rows are overwritten (`secure_delete`).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, Transaction, TransactionBehavior, params};

use super::error::Error;
use super::filter::Filters;
use super::labels::{Labels, VersionId};
use super::moment::Moment;
use super::page::{Key, Page, Position};
use super::requests::{SecretId, Tag};
use super::value::Value;
use super::{Clock, Options};

/// Marks the file as ours in SQLite's header: "CSEC".
const APPLICATION_ID: i32 = 0x4353_4543;
const SCHEMA_VERSION: i32 = 1;
/// How many versions a secret may have.
const VERSION_LIMIT: i64 = 100;
/// How many characters of an ARN follow the secret's name: a hyphen and six random ones.
const ARN_SUFFIX_LENGTH: usize = 7;

const SCHEMA: &str = "
CREATE TABLE secret (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    arn TEXT NOT NULL UNIQUE,
    description TEXT,
    kms_key_id TEXT,
    tags TEXT,                      -- JSON; null when the secret never had any
    created INTEGER NOT NULL,       -- every time is in milliseconds since the epoch
    changed INTEGER NOT NULL,
    accessed INTEGER,               -- a day
    deletion INTEGER                -- when a scheduled deletion is due
) STRICT;
CREATE INDEX secret_by_deletion ON secret (deletion) WHERE deletion IS NOT NULL;
CREATE TABLE version (
    row INTEGER PRIMARY KEY AUTOINCREMENT,
    secret INTEGER NOT NULL REFERENCES secret ON DELETE CASCADE,
    id TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('text', 'binary')),
    value ANY NOT NULL,
    created INTEGER NOT NULL,
    accessed INTEGER,
    UNIQUE (secret, id)
) STRICT;
CREATE TABLE label (
    secret INTEGER NOT NULL,
    label TEXT NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (secret, label),
    FOREIGN KEY (secret, version) REFERENCES version (secret, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX label_by_version ON label (secret, version);
";

/// Why a database could not be opened. Each is one line that names the file.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file is not a database, or some of its pages are broken.
    #[error("the secrets database {path} is damaged", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found, where it said more than that.
        #[source]
        source: Option<rusqlite::Error>,
    },
    /// The file is a sound SQLite database, but of another program, or of a later version of this one.
    #[error("{path} is not a secrets database that this version can read", path = .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created, read or locked.
    #[error("the secrets database {path} cannot be opened: {source}", path = .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What the operating system or SQLite said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    fn unusable(path: &Path, source: io::Error) -> Self {
        Self::Unusable { path: path.to_owned(), source: Box::new(source) }
    }

    fn from_sqlite(path: &Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => Self::Damaged { path, source: Some(error) },
            _ => Self::Unusable { path, source: Box::new(error) },
        }
    }
}

/// The database and what every operation needs beside it.
pub(super) struct Store {
    connection: Mutex<Connection>,
    region: String,
    now: Clock,
}

impl Store {
    pub(super) fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        create_private(path).map_err(|error| OpenError::unusable(path, error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection =
            Connection::open_with_flags(path, flags).map_err(|error| OpenError::from_sqlite(path, error))?;
        Self::prepare(path, connection, options)
    }

    pub(super) fn memory(options: Options) -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let connection = Connection::open_in_memory().map_err(|error| OpenError::from_sqlite(path, error))?;
        Self::prepare(path, connection, options)
    }

    fn prepare(path: &Path, mut connection: Connection, options: Options) -> Result<Self, OpenError> {
        match adopt(&mut connection) {
            Ok(Health::Sound) => {}
            Ok(Health::Damaged) => return Err(OpenError::Damaged { path: path.to_owned(), source: None }),
            Ok(Health::Foreign) => return Err(OpenError::Foreign { path: path.to_owned() }),
            Err(error) => return Err(OpenError::from_sqlite(path, error)),
        }
        Ok(Self { connection: Mutex::new(connection), region: options.region, now: options.now })
    }

    /// Runs one operation as one transaction: committed when it succeeds, undone when it fails. Blocks.
    pub(super) fn transact<T>(&self, operation: impl FnOnce(&Session<'_>) -> Result<T, Error>) -> Result<T, Error> {
        // A panic inside an operation has rolled its transaction back, so the connection is fit for use.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        // Immediate, so that two processes on one file take turns instead of failing half-way.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let session = Session { transaction: &transaction, region: &self.region, now: (self.now)().into() };
        session.forget_due()?;
        let answer = operation(&session)?;
        transaction.commit()?;
        Ok(answer)
    }
}

/// Makes sure that the file exists and that only its owner may read it.
fn create_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    drop(file);
    Ok(())
}

/// What an opened file turned out to be.
enum Health {
    Sound,
    Damaged,
    Foreign,
}

/// Configures the connection, creates the schema in an empty file, and checks that any other file is ours and sound.
fn adopt(connection: &mut Connection) -> rusqlite::Result<Health> {
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        transaction.execute_batch(SCHEMA)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    let application: i32 = transaction.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let report: String = transaction.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    transaction.commit()?;
    if report != "ok" {
        return Ok(Health::Damaged);
    }
    if (application, version) != (APPLICATION_ID, SCHEMA_VERSION) {
        return Ok(Health::Foreign);
    }
    // Only now: switching the journal writes to the file, which a foreign one must not suffer.
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    Ok(Health::Sound)
}

/// A secret without its values.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) row: i64,
    pub(super) name: String,
    pub(super) arn: String,
    pub(super) description: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) tags: Option<Vec<Tag>>,
    pub(super) created: Moment,
    pub(super) changed: Moment,
    pub(super) accessed: Option<Moment>,
    /// When the secret goes, if it is scheduled for deletion.
    pub(super) deletion: Option<Moment>,
}

const SECRET_COLUMNS: &str = "row, name, arn, description, kms_key_id, tags, created, changed, accessed, deletion";

impl Secret {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        let tags: Option<String> = row.get("tags")?;
        let tags = tags.map(|tags| serde_json::from_str(&tags)).transpose();
        Ok(Self {
            row: row.get("row")?,
            name: row.get("name")?,
            arn: row.get("arn")?,
            description: row.get("description")?,
            kms_key_id: row.get("kms_key_id")?,
            tags: tags.map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(error)))?,
            created: row.get("created")?,
            changed: row.get("changed")?,
            accessed: row.get("accessed")?,
            deletion: row.get("deletion")?,
        })
    }
}

/// A version, with its value.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) id: VersionId,
    pub(super) value: Value,
    pub(super) created: Moment,
}

/// A version in a list, without its value.
#[derive(Debug)]
pub(super) struct VersionEntry {
    pub(super) row: i64,
    pub(super) id: VersionId,
    pub(super) created: Moment,
    pub(super) accessed: Option<Moment>,
}

/// What `ListSecrets` sorts by.
#[derive(Clone, Copy, Debug)]
pub(super) enum SortBy {
    Created,
    Accessed,
    Changed,
    Name,
}

impl SortBy {
    fn expression(self) -> &'static str {
        match self {
            Self::Created => "created",
            // A secret that was never read comes before all others.
            Self::Accessed => "coalesce(accessed, -1)",
            Self::Changed => "changed",
            Self::Name => "name",
        }
    }
}

/// Which secrets a list shows, and in which order.
#[derive(Debug)]
pub(super) struct Selection {
    pub(super) filters: Filters,
    pub(super) with_deleted: bool,
    pub(super) sort_by: SortBy,
    pub(super) descending: bool,
}

/// One transaction, at one moment.
pub(super) struct Session<'store> {
    transaction: &'store Transaction<'store>,
    region: &'store str,
    pub(super) now: Moment,
}

impl Session<'_> {
    /// The start of the ARN of any secret here.
    pub(super) fn arn_of(&self, name: &str) -> String {
        format!("arn:aws:secretsmanager:{}:000000000000:secret:{name}", self.region)
    }

    /// Removes the secrets whose deletion is due.
    fn forget_due(&self) -> Result<(), Error> {
        self.transaction.prepare_cached("DELETE FROM secret WHERE deletion <= ?1")?.execute(params![self.now])?;
        Ok(())
    }

    /// The secret a request names, scheduled for deletion or not.
    pub(super) fn find(&self, id: &SecretId) -> Result<Option<Secret>, Error> {
        let secret = match id {
            SecretId::Name(name) => self
                .transaction
                .prepare_cached(&format!("SELECT {SECRET_COLUMNS} FROM secret WHERE name = ?1"))?
                .query_row(params![name], Secret::from_row),
            SecretId::Arn(arn) => {
                // The ARN ends in the name, or in the name and the suffix. A whole ARN wins over one that would also do
                // as the start of another secret's.
                let end = arn.rsplit(':').next().unwrap_or_default();
                let without_suffix = end.len().checked_sub(ARN_SUFFIX_LENGTH).and_then(|length| end.get(..length));
                self.transaction
                    .prepare_cached(&format!(
                        "SELECT {SECRET_COLUMNS} FROM secret
                         WHERE name IN (?2, ?3) AND (arn = ?1 OR substr(arn, 1, length(arn) - ?4) = ?1)
                         ORDER BY arn = ?1 DESC LIMIT 1"
                    ))?
                    .query_row(params![arn, end, without_suffix, ARN_SUFFIX_LENGTH], Secret::from_row)
            }
        };
        Ok(secret.optional()?)
    }

    /// Adds a secret without versions.
    pub(super) fn insert(
        &self,
        name: &str,
        arn: &str,
        description: Option<&str>,
        kms_key_id: Option<&str>,
        tags: Option<&[Tag]>,
    ) -> Result<Secret, Error> {
        let mut statement = self.transaction.prepare_cached(&format!(
            "INSERT INTO secret (name, arn, description, kms_key_id, tags, created, changed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) RETURNING {SECRET_COLUMNS}"
        ))?;
        let tags = tags.map(to_json).transpose()?;
        Ok(statement.query_row(params![name, arn, description, kms_key_id, tags, self.now], Secret::from_row)?)
    }

    /// Writes a secret's own columns back, as changed now.
    pub(super) fn update(&self, secret: &Secret) -> Result<(), Error> {
        let tags = secret.tags.as_deref().map(to_json).transpose()?;
        self.transaction
            .prepare_cached(
                "UPDATE secret SET description = ?2, kms_key_id = ?3, tags = ?4, deletion = ?5, changed = ?6
                 WHERE row = ?1",
            )?
            .execute(params![secret.row, secret.description, secret.kms_key_id, tags, secret.deletion, self.now])?;
        Ok(())
    }

    /// Removes a secret and all its versions.
    pub(super) fn remove(&self, secret: &Secret) -> Result<(), Error> {
        self.transaction.prepare_cached("DELETE FROM secret WHERE row = ?1")?.execute(params![secret.row])?;
        Ok(())
    }

    /// The secrets of a page, and one more if there is one.
    pub(super) fn select(&self, selection: &Selection, page: &Page) -> Result<Vec<Secret>, Error> {
        let key = selection.sort_by.expression();
        let (after, direction) = if selection.descending { ("<", "DESC") } else { (">", "ASC") };
        let mut statement = self.transaction.prepare_cached(&format!(
            "SELECT {SECRET_COLUMNS} FROM secret
             WHERE (?1 IS NULL OR ({key}, row) {after} (?1, ?2)) AND (?3 OR deletion IS NULL)
             ORDER BY {key} {direction}, row {direction}"
        ))?;
        let after = page.after.as_ref();
        let parameters =
            params![after.map(|position| &position.key), after.map(|position| position.row), selection.with_deleted,];
        let mut secrets = Vec::new();
        let mut rows = statement.query(parameters)?;
        while let Some(row) = rows.next()? {
            let secret = Secret::from_row(row)?;
            if selection.filters.take(&secret) {
                secrets.push(secret);
            }
            if secrets.len() > page.size {
                break;
            }
        }
        Ok(secrets)
    }

    /// The labels of a secret.
    pub(super) fn labels(&self, secret: &Secret) -> Result<Labels, Error> {
        let mut statement = self.transaction.prepare_cached("SELECT label, version FROM label WHERE secret = ?1")?;
        let labels = statement.query_map(params![secret.row], |row| {
            Ok((row.get::<_, String>("label")?, VersionId::stored(row.get("version")?)))
        })?;
        Ok(labels.collect::<rusqlite::Result<_>>()?)
    }

    /// Replaces the labels of a secret, and marks it as changed.
    pub(super) fn relabel(&self, secret: &Secret, labels: &Labels) -> Result<(), Error> {
        self.transaction.prepare_cached("DELETE FROM label WHERE secret = ?1")?.execute(params![secret.row])?;
        let mut insert =
            self.transaction.prepare_cached("INSERT INTO label (secret, label, version) VALUES (?1, ?2, ?3)")?;
        for (label, version) in labels.iter() {
            insert.execute(params![secret.row, label, version.as_str()])?;
        }
        self.transaction
            .prepare_cached("UPDATE secret SET changed = ?2 WHERE row = ?1")?
            .execute(params![secret.row, self.now])?;
        Ok(())
    }

    /// One version of a secret.
    pub(super) fn version(&self, secret: &Secret, id: &VersionId) -> Result<Option<Version>, Error> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT id, kind, value, created FROM version WHERE secret = ?1 AND id = ?2")?;
        let version = statement.query_row(params![secret.row, id.as_str()], |row| {
            Ok(Version {
                id: VersionId::stored(row.get("id")?),
                value: Value::from_row(row)?,
                created: row.get("created")?,
            })
        });
        Ok(version.optional()?)
    }

    /// Adds a version, still without a label. Where there are too many, the oldest go that have neither a label nor been
    /// made within a day; where none may go, there is no room.
    pub(super) fn insert_version(&self, secret: &Secret, id: &VersionId, value: &Value) -> Result<(), Error> {
        let count: i64 = self
            .transaction
            .prepare_cached("SELECT count(*) FROM version WHERE secret = ?1")?
            .query_row(params![secret.row], |row| row.get(0))?;
        let surplus = (count + 1 - VERSION_LIMIT).max(0);
        let forgotten = self
            .transaction
            .prepare_cached(
                "DELETE FROM version WHERE row IN (
                     SELECT row FROM version
                     WHERE secret = ?1 AND created <= ?2
                       AND id NOT IN (SELECT version FROM label WHERE secret = ?1)
                     ORDER BY row LIMIT ?3)",
            )?
            .execute(params![secret.row, self.now.plus_days(-1), surplus])?;
        if i64::try_from(forgotten).unwrap_or(i64::MAX) < surplus {
            return Err(Error::LimitExceeded(format!(
                "You've reached the quota of {VERSION_LIMIT} versions of this secret. Versions are removed a day after they \
                 were created."
            )));
        }
        self.transaction
            .prepare_cached("INSERT INTO version (secret, id, kind, value, created) VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![secret.row, id.as_str(), value.kind(), value, self.now])?;
        Ok(())
    }

    /// The versions of a page, oldest first, and one more if there is one.
    pub(super) fn versions(
        &self,
        secret: &Secret,
        with_deprecated: bool,
        page: &Page,
    ) -> Result<Vec<VersionEntry>, Error> {
        let mut statement = self.transaction.prepare_cached(
            "SELECT row, id, created, accessed FROM version
             WHERE secret = ?1 AND row > ?2
               AND (?3 OR id IN (SELECT version FROM label WHERE secret = ?1))
             ORDER BY row LIMIT ?4",
        )?;
        let after = page.after.as_ref().map_or(0, |position| position.row);
        let one_more = i64::try_from(page.size).unwrap_or(i64::MAX).saturating_add(1);
        let versions = statement.query_map(params![secret.row, after, with_deprecated, one_more], |row| {
            Ok(VersionEntry {
                row: row.get("row")?,
                id: VersionId::stored(row.get("id")?),
                created: row.get("created")?,
                accessed: row.get("accessed")?,
            })
        })?;
        Ok(versions.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes that a version was read today. The first read of a day writes; the others find it noted.
    pub(super) fn touch(&self, secret: &Secret, version: &VersionId) -> Result<(), Error> {
        let today = self.now.start_of_day();
        self.transaction
            .prepare_cached("UPDATE secret SET accessed = ?2 WHERE row = ?1 AND accessed IS NOT ?2")?
            .execute(params![secret.row, today])?;
        self.transaction
            .prepare_cached("UPDATE version SET accessed = ?3 WHERE secret = ?1 AND id = ?2 AND accessed IS NOT ?3")?
            .execute(params![secret.row, version.as_str(), today])?;
        Ok(())
    }
}

/// The place of a secret in a list sorted so.
pub(super) fn position(secret: &Secret, sort_by: SortBy) -> Position {
    let key = match sort_by {
        SortBy::Created => Key::Number(secret.created.milliseconds()),
        SortBy::Accessed => Key::Number(secret.accessed.map_or(-1, Moment::milliseconds)),
        SortBy::Changed => Key::Number(secret.changed.milliseconds()),
        SortBy::Name => Key::Text(secret.name.clone()),
    };
    Position { key, row: secret.row }
}

fn to_json(tags: &[Tag]) -> Result<String, Error> {
    serde_json::to_string(tags).map_err(|error| Error::Internal(Box::new(error)))
}
