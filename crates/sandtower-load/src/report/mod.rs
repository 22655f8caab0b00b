//! A report as files: `report.json` for programs, `report.html` for people.
//!
//! The page is one file: its plots are SVG, drawn here from the data; it has no script and makes no network
//! requests. The same report always yields the same bytes.

mod frame;
mod gates;
mod goodput;
mod headline;
mod latency;
mod legend;
mod page;
mod queries;
mod scale;
mod slices;
mod slowest;
mod svg;
mod text;

use std::path::{Path, PathBuf};
use std::{fs, io};

use crate::Report;

/// Where a report was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// The data, for programs.
    pub json: PathBuf,
    /// The page, for people.
    pub html: PathBuf,
}

impl Report {
    /// The text of `report.json`.
    ///
    /// # Errors
    ///
    /// None for plain data; the error is that of `serde_json`.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self).map(|json| json + "\n")
    }

    /// The text of `report.html`: a single file without network requests.
    #[must_use]
    pub fn to_html(&self) -> String {
        page::page(self)
    }

    /// Writes `report.json` and `report.html` into a folder, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// The error of the system, with the name of the file.
    pub fn write_to(&self, folder: &Path) -> io::Result<Written> {
        let written =
            Written { json: folder.join("report.json"), html: folder.join("report.html") };
        fs::create_dir_all(folder).map_err(|error| about(folder, &error))?;
        let json = self.to_json().map_err(|error| about(&written.json, &error.into()))?;
        for (file, text) in [(&written.json, json), (&written.html, self.to_html())] {
            fs::write(file, text).map_err(|error| about(file, &error))?;
        }
        Ok(written)
    }
}

fn about(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}
