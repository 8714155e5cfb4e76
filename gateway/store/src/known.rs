//! What rarely changes and is read for every request: organizations, principals, users, settings, API keys, key
//! records, policies and plugin revisions, kept in memory after their seals were checked.
//!
//! Only for a database that this process owns: every write then passes through its writer, which forgets everything
//! known before it acknowledges a write to one of those tables. A shared database is read each time.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::statement::StatementKey;

/// Answers kept at once; beyond it all are forgotten, which costs one read each.
const ANSWERS_MAX: usize = 10_000;

type Answer = Arc<dyn Any + Send + Sync>;

#[derive(Default)]
pub(crate) struct Known(Mutex<Answers>);

#[derive(Default)]
struct Answers {
    /// Moves whenever something is forgotten.
    generation: u64,
    by_statement: HashMap<StatementKey, Answer>,
}

impl Known {
    /// The answer, or the generation under which a fresh one may be kept.
    pub(crate) fn recall<T: Clone + Send + Sync + 'static>(&self, key: &StatementKey) -> Result<T, u64> {
        let answers = self.locked();
        let found = answers.by_statement.get(key).and_then(|answer| answer.downcast_ref::<T>());
        found.cloned().ok_or(answers.generation)
    }

    /// Keeps an answer, unless something was forgotten since it was asked for: it may be older than that write.
    pub(crate) fn keep<T: Send + Sync + 'static>(&self, key: StatementKey, answer: T, generation: u64) {
        let mut answers = self.locked();
        if answers.generation != generation {
            return;
        }
        if answers.by_statement.len() >= ANSWERS_MAX {
            answers.by_statement.clear();
        }
        answers.by_statement.insert(key, Arc::new(answer));
    }

    pub(crate) fn forget(&self) {
        let mut answers = self.locked();
        answers.generation += 1;
        answers.by_statement.clear();
    }

    fn locked(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Known;
    use crate::statement::Statement;

    #[test]
    fn an_answer_is_kept_until_something_is_forgotten() {
        let known = Known::default();
        let statement = Statement::new("SELECT 1").bind(7_i64);
        let generation = known.recall::<u8>(&statement.key()).unwrap_err();
        known.keep(statement.key(), 5_u8, generation);
        assert_eq!(known.recall::<u8>(&statement.key()), Ok(5));
        assert!(known.recall::<u8>(&Statement::new("SELECT 1").bind(8_i64).key()).is_err());
        known.forget();
        assert!(known.recall::<u8>(&statement.key()).is_err());
    }

    #[test]
    fn an_answer_older_than_a_write_is_not_kept() {
        let known = Known::default();
        let statement = Statement::new("SELECT 1");
        let generation = known.recall::<u8>(&statement.key()).unwrap_err();
        known.forget();
        known.keep(statement.key(), 5_u8, generation);
        assert!(known.recall::<u8>(&statement.key()).is_err());
    }
}
