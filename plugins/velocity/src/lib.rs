//! Velocity holds an organization's transactions to counts and amounts in moving windows: so many, or so much, for
//! everybody together, for each key or for each recipient.
//!
//! Every limit is a counter of the capability `state`, in which the transaction reserves its share. The gateway stores
//! a reservation only if nobody else has changed the counter meanwhile, and evaluates again otherwise: of many
//! requests at once, exactly as many pass as there is room for.

mod movement;
mod settings;
mod verdict;

use countersign_plugin::{
    Claimed, Description, Outcome, Plugin, SettingsProblem, Verified, plugin, settings as host, state,
};

use movement::Movement;
use settings::{Limit, Settings};
use verdict::Excess;

/// The largest amount there is: what is over a limit and goes to reviewers is counted all the same.
const NO_LIMIT: &str = "115792089237316195423570985008687907853269984665640564039457584007913129639935";

struct Velocity;

impl Plugin for Velocity {
    fn describe() -> Description {
        Description {
            name: "velocity".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            summary: "Holds transactions to counts and amounts in moving windows.".to_owned(),
            settings_schema: include_str!("settings.schema.json").to_owned(),
        }
    }

    fn validate_settings(settings: &str) -> Result<(), Vec<SettingsProblem>> {
        Settings::parse(settings).map(|_| ())
    }

    fn evaluate(verified: &Verified, _claimed: &Claimed) -> Result<Outcome, String> {
        let settings = Settings::parse(&host::get()).map_err(|problems| settings::described(&problems))?;
        let mut excesses = Vec::new();
        for limit in &settings.limits {
            let movement = match Movement::of(verified, limit.token.as_deref()) {
                Ok(Some(movement)) => movement,
                Ok(None) => continue,
                Err(unreadable) => return Ok(verdict::unreadable(limit, &unreadable)),
            };
            excesses.extend(reserve(limit, verified, &movement, settings.review_role.is_some()));
        }
        Ok(verdict::verdict(&settings, &excesses))
    }
}

plugin!(Velocity);

/// Reserves the transaction's share under one limit; answers what there was no room for.
fn reserve<'a>(
    limit: &'a Limit,
    verified: &Verified,
    movement: &Movement,
    reviewed: bool,
) -> Vec<Excess<'a>> {
    let shares = [("count", "1", &limit.max_count), ("amount", &*movement.amount, &limit.max_amount)];
    let mut excesses = Vec::new();
    for (what, share, most) in shares {
        let Some(most) = most else { continue };
        let counter = limit.counter(what, verified, movement);
        if state::reserve(&counter, limit.window_seconds, share, most) {
            continue;
        }
        if reviewed {
            state::reserve(&counter, limit.window_seconds, share, NO_LIMIT);
        }
        let others = state::counted(&counter, limit.window_seconds);
        excesses.push(Excess { limit, what, share: share.to_owned(), most: most.clone(), others });
    }
    excesses
}
