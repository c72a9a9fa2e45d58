//! Reading a baseline file in batches: Parquet, CSV, JSONL and Arrow IPC become tables of cells.
//!
//! A batch holds at most 8,192 rows or, for JSONL, 8 MiB of text; a file is never held whole. What a cell means is
//! decided later, in `plan`.

mod arrow;
mod jsonl;

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::error::BuildError;
use super::options::{Format, RoleColumns};
use crate::subject::Millis;

pub(super) use arrow::Series;

/// Most rows of a batch.
pub(super) const BATCH_ROWS: usize = 8_192;

/// Most columns of a baseline.
pub(super) const MAX_COLUMNS: usize = 4_096;

/// One value of the file, before its column has a kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Cell<'a> {
    /// Null or absent.
    Missing,
    /// A number, widened exactly.
    Number(f64),
    /// Text of a typed format.
    Text(&'a str),
    /// Text of CSV, which may also stand for a number or a truth value.
    Raw(&'a str),
    /// A truth value.
    Bool(bool),
    /// A date or time.
    Time(Millis),
    /// A list, object, binary or other value that is not one value.
    Nested,
}

/// Where a field stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A column of the file, or a field of the event itself.
    Top,
    /// A field of the event's `features`.
    Features,
    /// A field of the event's `segment`.
    Segment,
}

/// One field of the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Field {
    /// Where it stands.
    pub(super) place: Place,
    /// Its name there.
    pub(super) name: String,
}

/// One batch: the series stand in the order of [`Source::fields`]; a series that is not there is missing in all rows.
#[derive(Debug)]
pub(super) struct Table {
    /// Rows of the batch.
    pub(super) rows: usize,
    /// One per field known so far.
    pub(super) series: Vec<Series>,
}

impl Table {
    /// The cell of a field at a row of the batch.
    pub(super) fn cell(&self, field: usize, row: usize) -> Cell<'_> {
        self.series.get(field).map_or(Cell::Missing, |series| series.cell(row))
    }
}

enum Reader {
    Arrow(arrow::Batches),
    Jsonl(jsonl::Lines),
}

/// An open baseline file.
pub(super) struct Source {
    path: PathBuf,
    format: Format,
    fields: Vec<Field>,
    reader: Reader,
    position: Arc<AtomicU64>,
    /// Rows or bytes in all, as [`Self::position`] counts them.
    pub(super) length: u64,
}

impl Source {
    /// Opens a file; the format is told from its name or first bytes if it is not given.
    pub(super) fn open(path: &Path, format: Option<Format>, roles: &RoleColumns) -> Result<Self, BuildError> {
        let mut file = open(path)?;
        let format = match format.or_else(|| Format::of_name(path)) {
            Some(format) => format,
            None => sniff(path, &mut file)?,
        };
        let mut length = file.metadata().map_err(|source| read_error(path, source))?.len();
        if length == 0 {
            return Err(BuildError::Empty { path: path.to_owned() });
        }
        let position = Arc::new(AtomicU64::new(0));
        let counted = Counted { file, position: Arc::clone(&position) };
        let failed = |reason: String| malformed(path, format, reason);
        let (reader, names) = match format {
            Format::Jsonl => (Reader::Jsonl(jsonl::Lines::new(counted, roles)), Vec::new()),
            Format::Parquet => {
                let (batches, names, rows) =
                    arrow::guarded(|| arrow::parquet(counted.file)).map_err(failed)?;
                length = rows;
                (Reader::Arrow(batches), names)
            }
            Format::Csv => arrow::csv(counted).map(|(b, names)| (Reader::Arrow(b), names)).map_err(failed)?,
            Format::Arrow => arrow::guarded(|| arrow::ipc(counted))
                .map(|(b, names)| (Reader::Arrow(b), names))
                .map_err(failed)?,
        };
        let fields = names.into_iter().map(|name| Field { place: Place::Top, name }).collect();
        let source = Self { path: path.to_owned(), format, fields, reader, position, length };
        source.check_fields()?;
        Ok(source)
    }

    fn check_fields(&self) -> Result<(), BuildError> {
        let path = || self.path.clone();
        if self.fields.len() > MAX_COLUMNS {
            return Err(BuildError::TooManyColumns {
                path: path(),
                got: self.fields.len(),
                most: MAX_COLUMNS,
            });
        }
        let mut known = std::collections::HashSet::new();
        match self.fields.iter().find(|field| !known.insert(*field)) {
            Some(twice) => Err(BuildError::DuplicateColumn { path: path(), column: twice.name.clone() }),
            None => Ok(()),
        }
    }

    /// The format it is read as.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The fields met so far; JSONL may find more with every batch, always behind the ones known.
    pub(super) fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How much of [`Self::length`] has been read.
    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// The next batch; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Table>, BuildError> {
        let table = match &mut self.reader {
            Reader::Arrow(batches) => batches.next(),
            Reader::Jsonl(lines) => lines.next(&mut self.fields),
        };
        let table = table.map_err(|reason| malformed(&self.path, self.format, reason))?;
        if self.fields.len() > MAX_COLUMNS {
            self.check_fields()?;
        }
        if self.format == Format::Parquet {
            let rows = table.as_ref().map_or(0, |table| table.rows as u64);
            self.position.fetch_add(rows, Ordering::Relaxed);
        }
        Ok(table)
    }
}

fn malformed(path: &Path, format: Format, reason: String) -> BuildError {
    BuildError::Malformed { path: path.to_owned(), format: format.name(), reason }
}

pub(super) fn read_error(path: &Path, source: std::io::Error) -> BuildError {
    BuildError::Read { path: path.to_owned(), source }
}

fn open(path: &Path) -> Result<File, BuildError> {
    let file = File::open(path).map_err(|source| read_error(path, source))?;
    if path.is_dir() {
        return Err(read_error(path, std::io::Error::other("it is a folder, not a file")));
    }
    Ok(file)
}

fn sniff(path: &Path, file: &mut File) -> Result<Format, BuildError> {
    let mut start = Vec::new();
    let failed = |source| read_error(path, source);
    file.by_ref().take(8).read_to_end(&mut start).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    Format::of_bytes(&start).ok_or_else(|| BuildError::UnknownFormat { path: path.to_owned() })
}

/// A file that tells how far it has been read.
#[derive(Debug)]
struct Counted {
    file: File,
    position: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.position.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Seek for Counted {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = self.file.seek(to)?;
        self.position.store(at, Ordering::Relaxed);
        Ok(at)
    }
}

type Buffered = BufReader<Counted>;
