//! Catalogs as JSON: the whole of one, to keep, to edit and to hand on.

use std::path::{Path, PathBuf};

use cloud_core::{Error, ErrorKind, Result};

use super::Catalog;

impl Catalog {
    /// Reads what [`to_json`](Self::to_json) writes, and [validates](Self::validate) it.
    ///
    /// ```
    /// use cloud_patterns::catalog::Catalog;
    /// let error = Catalog::from_json(r#"{"currency": "USD", "sources": [],
    ///     "clouds": [{"id": "a", "provider": "aws", "regions": [{"region": "r", "source": -1}]}]}"#).unwrap_err();
    /// let text = error.to_string();
    /// assert!(text.contains("clouds[0].regions[0].source") && text.contains("line 2"), "{text}");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with field, line and column, or as for [`validate`](Self::validate).
    pub fn from_json(text: &str) -> Result<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        let catalog: Self = serde_path_to_error::deserialize(&mut reader).map_err(|e| {
            let path = e.path().to_string();
            let problem = format!("cannot be read: {}", e.into_inner());
            Error::invalid(&format!("catalog {path}"), problem, "a catalog as to_json writes it")
        })?;
        reader.end().map_err(|e| {
            let problem = format!("goes on after its end: {e}");
            Error::invalid("catalog", problem, "one JSON object")
        })?;
        catalog.validate()?;
        Ok(catalog)
    }

    /// All of it as JSON, indented.
    ///
    /// ```
    /// use cloud_core::Currency;
    /// use cloud_patterns::catalog::Catalog;
    /// let catalog = Catalog::new(Currency::usd());
    /// assert_eq!(Catalog::from_json(&catalog.to_json().unwrap()).unwrap(), catalog);
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for one that does not [`validate`](Self::validate), for then it could not be read again.
    pub fn to_json(&self) -> Result<String> {
        self.validate()?;
        serde_json::to_string_pretty(self).map_err(|e| {
            Error::new(ErrorKind::Internal, format!("the catalog cannot be written: {e}"))
        })
    }

    /// [`from_json`](Self::from_json) of a file. Reads on a thread for blocking work; dropping it is safe.
    ///
    /// # Errors
    /// As for [`from_json`](Self::from_json), and what the file system answers; each names the file.
    pub async fn read(path: &Path) -> Result<Self> {
        let path: PathBuf = path.into();
        let name = path.display().to_string();
        let read = move || Self::from_json(&std::fs::read_to_string(path)?);
        let answer = tokio::task::spawn_blocking(read).await;
        let answer = answer.unwrap_or_else(|e| Err(Error::new(ErrorKind::Internal, e.to_string())));
        answer.map_err(|e| e.context(name))
    }
}
