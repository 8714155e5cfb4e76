//! What was denied lately, as this process knows it: stored rows tell of denials only once they are committed, and
//! somebody who asks a hundred times at once must gain nothing over asking in turn (T16).

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use alloy_primitives::Address;

use crate::{chain::ChainId, clock::Timestamp, ids::KeyId, transactions::Intent};

/// Questions remembered at once; beyond it the one that was denied longest ago is forgotten here, not in the database.
const QUESTIONS_MAX: usize = 10_000;
/// Denials remembered of one question; no configuration asks for more.
const DENIALS_MAX: usize = 20;

/// Denials by key, payer, recipient and function, so that another amount is not another question.
#[derive(Default)]
pub struct RecentDenials(Mutex<HashMap<Question, VecDeque<Timestamp>>>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    key: KeyId,
    from: Address,
    chain: ChainId,
    to: Option<Address>,
    selector: Vec<u8>,
}

impl RecentDenials {
    pub(crate) fn note(&self, intent: &Intent, at: Timestamp) {
        let mut questions = self.locked();
        let question = Question::of(intent);
        if questions.len() >= QUESTIONS_MAX && !questions.contains_key(&question) {
            let oldest = questions.iter().min_by_key(|(_, denials)| denials.back().copied());
            if let Some(oldest) = oldest.map(|(question, _)| question.clone()) {
                questions.remove(&oldest);
            }
        }
        let denials = questions.entry(question).or_default();
        if denials.len() >= DENIALS_MAX {
            denials.pop_front();
        }
        denials.push_back(at);
    }

    pub(crate) fn count(&self, intent: &Intent, since: Timestamp) -> u64 {
        let questions = self.locked();
        let denials = questions.get(&Question::of(intent));
        denials.map_or(0, |denials| denials.iter().filter(|at| **at > since).count() as u64)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Question, VecDeque<Timestamp>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Question {
    fn of(intent: &Intent) -> Self {
        let selector = intent.selector().to_vec();
        Self { key: intent.key, from: intent.from, chain: intent.chain, to: intent.to, selector }
    }
}
