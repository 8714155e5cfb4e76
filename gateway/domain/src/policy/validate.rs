//! What a policy must look like before it may be stored.

use std::collections::BTreeSet;

use crate::{
    approvals::Role,
    error::{Error, Result},
    policy::{Mode, Policy, Power},
};

/// Refuses policies that could sign without anybody's word: thresholds below one, roles without a name, and
/// kinds that are covered without an enforcing authority.
pub fn validate_policy(policy: &Policy) -> Result<()> {
    let mut faults = Vec::new();
    for requirement in &policy.floor.requirements {
        if requirement.count < 1 {
            faults.push(format!(
                "floor.requirements: count for role `{}` must be at least 1",
                requirement.role
            ));
        }
        if matches!(&requirement.role, Role::Named(name) if name.is_empty()) {
            faults.push("floor.requirements: role must not be empty".to_owned());
        }
    }
    if policy.floor.minimum_confidence_ppm > 1_000_000 {
        faults.push("floor.minimum_confidence_ppm must not exceed 1000000".to_owned());
    }
    let enforced = || policy.bindings.iter().filter(|binding| binding.mode == Mode::Enforce);
    let ids: BTreeSet<_> = policy.bindings.iter().map(|binding| binding.id).collect();
    if ids.len() != policy.bindings.len() {
        faults.push("bindings: ids must differ".to_owned());
    }
    let mut names = BTreeSet::new();
    for binding in &policy.bindings {
        if !names.insert((&binding.plugin, binding.mode)) {
            let name = binding.plugin.escape_debug();
            faults.push(format!("bindings: plugin `{name}` must be bound only once, and once as a shadow"));
        }
        if binding.scope.kinds.is_empty() {
            faults.push(format!("bindings: `{}` must name at least one kind", binding.plugin));
        }
    }
    let covered: BTreeSet<_> = enforced().flat_map(|binding| binding.scope.kinds.iter().copied()).collect();
    for kind in covered {
        let has_authority = enforced().any(|binding| {
            binding.scope.kinds.contains(&kind) && matches!(binding.power, Power::Authority(_))
        });
        if !has_authority {
            faults.push(format!("bindings: kind `{}` has no enforcing authority", kind.as_str()));
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(Error::Invalid(faults)) }
}
