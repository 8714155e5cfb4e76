//! What plugins said about a transaction, as the embedded database of a stopped gateway holds it: no API
//! shows the durations yet.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection, Row};

const DECISIONS: &str = "SELECT e.subject_name, e.result, e.duration_micros
     FROM evaluations e JOIN transactions t ON t.organization = e.organization AND t.id = e.transaction_id
     WHERE t.request_hash = $1 AND e.purpose = 'decision' ORDER BY e.created_at";

/// Plugin, verdict, confidence from 0 to 1, analysis and duration of every decision evaluation.
pub async fn of_transaction(data_dir: &Path, request_hash: &str) -> Result<Vec<Value>> {
    let options = SqliteConnectOptions::new().filename(data_dir.join("countersign.db")).read_only(true);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    let rows = sqlx::query(DECISIONS).bind(request_hash).fetch_all(&mut connection).await?;
    connection.close().await?;
    rows.iter()
        .map(|row| {
            let result: Value = serde_json::from_str(row.get("result"))?;
            let outcome = result.get("verdict").with_context(|| format!("no verdict, but {result}"))?;
            let parts_per_million =
                outcome["confidence_ppm"].as_u64().and_then(|parts| u32::try_from(parts).ok());
            Ok(json!({
                "plugin": row.get::<String, _>("subject_name"),
                "verdict": outcome["verdict"],
                "confidence": parts_per_million.map(|parts| f64::from(parts) / 1_000_000.0),
                "analysis": outcome["analysis"],
                "durationMicros": row.get::<i64, _>("duration_micros"),
            }))
        })
        .collect()
}
