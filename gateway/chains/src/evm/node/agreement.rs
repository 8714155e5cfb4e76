//! One question put to several nodes.

use std::time::Duration;

use futures::{
    StreamExt as _,
    stream::{self, FuturesUnordered},
};
use gateway_domain::chain::{Inclusion, NodeError};
use tokio::time::timeout;

/// What nodes said to one question.
pub(super) struct Claims<T> {
    pub(super) said: Vec<T>,
    /// From nodes that understood and would not.
    refused: Vec<NodeError>,
    /// From nodes that gave no usable answer.
    silent: Option<NodeError>,
}

impl<T> Claims<T> {
    /// Asks `questions`, one for each node in order of preference, `at_once` at a time, until `enough` holds of what
    /// was said, or as many as `at_once` refused. With one at a time that is: the next where one is away.
    pub(super) async fn gather<A>(questions: Vec<A>, at_once: usize, enough: impl Fn(&[T]) -> bool) -> Self
    where
        A: Future<Output = Result<T, NodeError>>,
    {
        let mut claims = Self::none();
        let mut answers = stream::iter(questions).buffer_unordered(at_once);
        while let Some(answer) = answers.next().await {
            claims.note(answer);
            if enough(&claims.said) || claims.refused.len() >= at_once {
                break;
            }
        }
        claims
    }

    /// Asks all `questions` at once and waits for every answer that comes within `patience`: who answers first decides
    /// nothing.
    pub(super) async fn gather_all<A>(questions: Vec<A>, patience: Duration) -> Self
    where
        A: Future<Output = Result<T, NodeError>>,
    {
        let mut claims = Self::none();
        let mut answers: FuturesUnordered<A> = questions.into_iter().collect();
        let all = async {
            while let Some(answer) = answers.next().await {
                claims.note(answer);
            }
        };
        // Whoever is silent is missed where the claims are counted.
        drop(timeout(patience, all).await);
        claims
    }

    fn none() -> Self {
        Self { said: Vec::new(), refused: Vec::new(), silent: None }
    }

    fn note(&mut self, answer: Result<T, NodeError>) {
        match answer {
            Ok(claim) => self.said.push(claim),
            Err(refusal @ NodeError::Rejected(_)) => self.refused.push(refusal),
            Err(silence @ (NodeError::Unavailable(_) | NodeError::WrongChain)) => self.silent = Some(silence),
        }
    }

    /// The claims, if there are `count`; a refusal, if there are `refusals` and too few claims.
    pub(super) fn require(mut self, count: usize, refusals: usize) -> Result<Vec<T>, NodeError> {
        if self.said.len() >= count {
            return Ok(self.said);
        }
        match self.refused.pop() {
            Some(refusal) if self.refused.len() + 1 >= refusals => Err(refusal),
            Some(_) | None => {
                Err(self.silent.unwrap_or_else(|| NodeError::Unavailable(Box::new(TooFewNodes))))
            }
        }
    }
}

/// Where a transaction stands, as soon as `agreement` nodes say so. A block counts as the same with the same hash and
/// outcome, and as deep as the least of the nodes that make up the number.
pub(super) fn inclusion(said: &[Inclusion], agreement: usize) -> Option<Inclusion> {
    let count = |wanted: Inclusion| said.iter().filter(|claim| **claim == wanted).count();
    let mined = said.iter().find_map(|claim| match claim {
        Inclusion::Mined { .. } => at_depth_of_all(*claim, said, agreement),
        Inclusion::Unknown | Inclusion::Queued => None,
    });
    let others = [Inclusion::Unknown, Inclusion::Queued];
    mined.or_else(|| others.into_iter().find(|wanted| count(*wanted) >= agreement))
}

fn at_depth_of_all(claim: Inclusion, said: &[Inclusion], agreement: usize) -> Option<Inclusion> {
    let Inclusion::Mined { block, block_hash, succeeded, .. } = claim else { return None };
    let with = |confirmations| Inclusion::Mined { block, block_hash, confirmations, succeeded };
    let depths = said.iter().filter_map(|other| match other {
        Inclusion::Mined { confirmations, .. } if *other == with(*confirmations) => Some(*confirmations),
        Inclusion::Mined { .. } | Inclusion::Unknown | Inclusion::Queued => None,
    });
    let mut depths: Vec<u64> = depths.collect();
    depths.sort_unstable_by(|one, other| other.cmp(one));
    depths.get(agreement - 1).map(|depth| with(*depth))
}

#[derive(Debug, thiserror::Error)]
#[error("fewer nodes than must agree gave an answer")]
pub(super) struct TooFewNodes;
