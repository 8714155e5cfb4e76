//! Several statements in one go.
//!
//! The SQLite driver runs each text on a thread of its own, and changing threads there and back costs more than most
//! statements do. So statements that belong together are joined into one text; the driver runs them in order and
//! stops at the first that fails. PostgreSQL takes one statement with values at a time.

use std::{collections::HashMap, ops::Range};

use futures::StreamExt;
use sqlx::{
    AnyConnection, Either, Executor, SqlStr,
    any::{AnyQueryResult, AnyRow},
};

use crate::{
    dialect::{Engine, Failure},
    statement::{Expect, Statement, query, shared_text},
};

/// What a batch's unit did.
#[derive(Default)]
pub(crate) struct Outcome {
    /// Rows of the last statement that returned any.
    pub(crate) rows: Vec<AnyRow>,
    /// Rows changed by all its statements.
    pub(crate) affected: u64,
}

/// Statements to be sent together: those of a unit, and what goes before and after them.
#[derive(Default)]
pub(crate) struct Batch<'s> {
    statements: Vec<&'s Statement>,
    unit: Range<usize>,
}

/// A statement that failed, or changed nothing where it had to. Nothing after it counts.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) place: Place,
    pub(crate) failure: Failure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Before,
    Unit,
    After,
}

/// Sends batches, and remembers the texts it joined.
pub(crate) struct Batches {
    engine: Engine,
    joined: HashMap<Vec<SqlStr>, SqlStr>,
}

/// Units come in a few dozen shapes; beyond this many all are forgotten.
const JOINED_MAX: usize = 512;

impl<'s> Batch<'s> {
    pub(crate) fn of(statement: &'s Statement) -> Self {
        Self { statements: vec![statement], unit: 1..1 }
    }

    #[must_use]
    pub(crate) fn unit(mut self, statements: &'s [Statement]) -> Self {
        let start = self.statements.len();
        self.statements.extend(statements);
        self.unit = start..self.statements.len();
        self
    }

    /// Statements after the unit, or before it if it comes later.
    #[must_use]
    pub(crate) fn and(mut self, statements: &'s [Statement]) -> Self {
        self.statements.extend(statements);
        self
    }

    fn failed(&self, index: usize, failure: Failure) -> Failed {
        let place = match index {
            index if index < self.unit.start => Place::Before,
            index if index < self.unit.end => Place::Unit,
            _ => Place::After,
        };
        Failed { place, failure }
    }
}

impl Batches {
    pub(crate) fn new(engine: Engine) -> Self {
        Self { engine, joined: HashMap::new() }
    }

    pub(crate) async fn send(
        &mut self,
        connection: &mut AnyConnection,
        batch: Batch<'_>,
    ) -> Result<Outcome, Failed> {
        let count = batch.statements.len();
        let at_once = match self.engine {
            Engine::Sqlite => count.max(1),
            Engine::Postgres => 1,
        };
        metrics::counter!("countersign_store_statements_total").increment(count as u64);
        let mut answers = Answers { batch: &batch, index: 0, rows: Vec::new(), outcome: Outcome::default() };
        for together in batch.statements.chunks(at_once) {
            metrics::counter!("countersign_store_round_trips_total").increment(1);
            let sql = self.text(together);
            let values = together.iter().flat_map(|statement| statement.values());
            let mut stream = connection.fetch_many(query(sql, values));
            let mut lost = None;
            while let Some(answer) = stream.next().await {
                if lost.is_some() {
                    continue; // What runs after a loss is undone with it.
                }
                lost = answers.take(answer).err();
            }
            if let Some(lost) = lost {
                return Err(lost);
            }
        }
        Ok(answers.outcome)
    }

    fn text(&mut self, statements: &[&Statement]) -> SqlStr {
        if let [alone] = statements {
            return alone.sql();
        }
        let parts: Vec<SqlStr> = statements.iter().map(|statement| statement.sql()).collect();
        if let Some(known) = self.joined.get(&parts) {
            return known.clone();
        }
        if self.joined.len() >= JOINED_MAX {
            self.joined.clear();
        }
        let text = shared_text(joined(statements));
        self.joined.insert(parts, text.clone());
        text
    }
}

/// Assigns the driver's answers to statements: rows first, then the count that ends a statement.
struct Answers<'b> {
    batch: &'b Batch<'b>,
    index: usize,
    rows: Vec<AnyRow>,
    outcome: Outcome,
}

impl Answers<'_> {
    fn take(&mut self, answer: Result<Either<AnyQueryResult, AnyRow>, sqlx::Error>) -> Result<(), Failed> {
        let done = match answer {
            Ok(Either::Right(row)) => {
                self.rows.push(row);
                return Ok(());
            }
            Ok(Either::Left(done)) => done,
            Err(cause) => return Err(self.batch.failed(self.index, Failure::of(cause))),
        };
        let (index, rows) = (self.index, std::mem::take(&mut self.rows));
        self.index += 1;
        let Some(statement) = self.batch.statements.get(index) else { return Ok(()) };
        if let (Expect::Change(contested), 0) = (statement.expect(), done.rows_affected()) {
            return Err(self.batch.failed(index, Failure::Contested(contested)));
        }
        if self.batch.unit.contains(&index) {
            match statement.expect() {
                Expect::Rows => {
                    self.outcome.affected += rows.len() as u64;
                    self.outcome.rows = rows;
                }
                Expect::Whatever | Expect::Change(_) => self.outcome.affected += done.rows_affected(),
            }
        }
        Ok(())
    }
}

/// The texts one after another, their places numbered through.
fn joined(statements: &[&Statement]) -> String {
    let mut text = String::new();
    let mut taken = 0;
    for statement in statements {
        let sql = statement.sql();
        let mut parts = sql.as_str().split('$');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.len() - part.trim_start_matches(|digit: char| digit.is_ascii_digit()).len();
            let (number, rest) = part.split_at(digits);
            let number: usize =
                number.parse().expect("`$` begins a numbered place in statements of the store");
            text.push('$');
            text.push_str(&(taken + number).to_string());
            text.push_str(rest);
        }
        text.push_str(";\n");
        taken += statement.values().len();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::joined;
    use crate::statement::Statement;

    #[test]
    fn places_are_numbered_through() {
        let first = Statement::new("UPDATE a SET b = $2 WHERE c = $1 AND b = $2 - 1").bind(1_i64).bind(2_i64);
        let none = Statement::new("SELECT 1");
        let last = Statement::new("INSERT INTO a VALUES ($1, $2)").bind(3_i64).bind(4_i64);
        assert_eq!(
            joined(&[&first, &none, &last]),
            "UPDATE a SET b = $2 WHERE c = $1 AND b = $2 - 1;\nSELECT 1;\nINSERT INTO a VALUES ($3, $4);\n"
        );
    }
}
