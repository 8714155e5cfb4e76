//! Every number of the configuration that bounds something has a test that reaches the bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use countersign_tests::environment::root;

/// Numbers that bound nothing: pauses, paces and how much of something there is.
const NOT_BOUNDS: &[&str] = &[
    "core.sessions.token_key_epoch",
    "core.credentials.key_epoch",
    "core.credentials.oldest_key_epoch",
    "core.secrets.key_epoch",
    "core.secrets.oldest_key_epoch",
    "database.sweep_interval_seconds",
    "fireblocks.poll_interval_ms",
    "privy.static_quorum_threshold",
    "hsm.session_threads",
    "hsm.canary_interval_ms",
    "hsm.backoff_min_ms",
    "hsm.backoff_max_ms",
    "plugins.tick_ms",
    "plugins.warm_memories",
    "limits.poll_interval_ms",
    "limits.unavailable_pause_ms",
    "limits.evidence_pause_ms",
    "outbox.poll_interval_ms",
    "outbox.retry_pause_ms",
];

/// Key, file, and the test in it.
const TESTS: &str = "
core.eth_signature.window_seconds gateway/api/tests/it/signatures.rs a_signature_fits_one_request_at_one_time_on_one_gateway
core.siwe.nonce_seconds gateway/api/tests/it/sign_in.rs a_nonce_is_ours_young_unused_and_for_this_address
core.siwe.issued_age_max_seconds gateway/api/tests/it/sign_in.rs the_times_of_the_message_hold
core.siwe.issued_ahead_max_seconds gateway/api/tests/it/sign_in.rs the_times_of_the_message_hold
core.sessions.access_token_seconds gateway/api/tests/it/sessions.rs an_access_token_tells_whose_it_is_until_it_ends
core.sessions.refresh_token_seconds gateway/api/tests/it/sessions.rs a_refresh_token_expires_and_so_does_its_session
core.sessions.per_user_max gateway/api/tests/it/sessions.rs a_further_session_than_allowed_ends_the_oldest
server.body_bytes_max gateway/api/tests/it/bounds.rs sizes
server.list_bytes_max gateway/api/tests/it/pages.rs large_transactions_make_shorter_pages_and_none_is_lost
server.json_depth_max gateway/api/tests/it/bounds.rs sizes
server.uri_bytes_max gateway/api/tests/it/bounds.rs sizes
server.header_bytes_max gateway/api/tests/it/bounds.rs sizes
server.header_timeout_ms gateway/src/listener/tests.rs a_head_that_does_not_arrive_ends_its_connection
server.body_timeout_ms tests/it/bounds.rs slow_bodies_hold_their_sources_share_and_not_for_long
server.refused_body_bytes_max tests/it/bounds.rs a_client_that_does_not_stop_sending_is_cut_off
server.refused_body_timeout_ms tests/it/bounds.rs a_refused_body_that_does_not_come_holds_its_sources_share_and_not_for_long
server.request_timeout_ms gateway/api/tests/it/bounds.rs requests_in_flight_and_the_time_each_may_take
server.inline_signing_wait_ms gateway/api/tests/it/bounds.rs an_answer_does_not_wait_for_ever_for_a_signature
server.key_use_interval_ms gateway/api/tests/it/user_api_keys.rs a_use_is_noted_once_an_interval
server.connections_max gateway/src/listener/tests.rs beyond_the_bound_of_all_connections_they_wait
server.connections_per_source_max gateway/src/listener/tests.rs a_source_with_its_share_of_connections_is_told_so
server.requests_in_flight_max gateway/api/tests/it/bounds.rs requests_in_flight_and_the_time_each_may_take
server.requests_in_flight_per_source_max tests/it/bounds.rs slow_bodies_hold_their_sources_share_and_not_for_long
server.credential_burst gateway/api/tests/it/bounds.rs rates_of_credentials_and_sources
server.credential_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.source_burst gateway/api/tests/it/bounds.rs rates_of_credentials_and_sources
server.source_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.wallet_burst gateway/api/tests/it/signatures.rs a_wallet_reads_at_a_rate_of_its_own
server.wallet_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.decryption_burst gateway/api/tests/it/received.rs messages_to_be_opened_here_come_at_a_rate_of_their_own
server.decryption_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.login_burst gateway/api/tests/it/sign_in.rs strangers_are_slowed_down_by_operation_and_source
server.login_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.registration_burst gateway/api/tests/it/strangers.rs self_registration_has_a_rate_of_its_own_for_each_source
server.registration_period_ms gateway/api/src/layers/rates/tests.rs a_burst_passes_and_the_next_waits
server.change_burst gateway/api/tests/it/strangers.rs who_enrolled_themselves_changes_so_much_a_day_and_no_more
server.change_period_ms gateway/api/tests/it/strangers.rs who_enrolled_themselves_changes_so_much_a_day_and_no_more
server.failure_burst gateway/api/tests/it/bounds.rs guessing_is_charged_to_the_source_and_not_to_the_key
server.failure_period_ms gateway/api/src/layers/rates/tests.rs a_source_waits_after_too_many_failures_and_others_do_not
server.rate_keys_max gateway/api/src/layers/rates/tests.rs keys_beyond_the_bound_share_one_bucket
server.drain_timeout_ms gateway/src/listener/tests.rs a_request_without_end_does_not_hold_up_the_end_of_the_listener
server.control_commands_max gateway/src/control/tests.rs further_requests_wait_for_their_turn
server.control_timeout_ms gateway/src/control/tests.rs work_beyond_its_time_is_told_so_and_finished
database.read_connections_max gateway/store/tests/it/limits.rs a_read_that_takes_too_long_is_unavailable
database.read_timeout_ms gateway/store/tests/it/limits.rs a_read_that_takes_too_long_is_unavailable
database.commit_queue_max gateway/store/tests/it/limits.rs a_full_queue_refuses_at_once
database.commit_wait_max_ms gateway/store/tests/it/limits.rs a_change_set_that_waited_too_long_is_refused_unapplied
database.commit_group_max gateway/store/tests/it/limits.rs a_group_is_no_larger_than_allowed
database.commit_timeout_ms gateway/store/tests/it/limits.rs a_commit_that_takes_too_long_is_unavailable_and_the_store_recovers
database.commit_retries_max gateway/store/tests/it/limits.rs a_lost_connection_is_replaced_within_the_retries
database.busy_timeout_ms gateway/store/tests/it/limits.rs a_commit_that_takes_too_long_is_unavailable_and_the_store_recovers
database.lease_ms gateway/store/tests/it/leases.rs no_permit_once_the_lease_has_run_out
database.file_bytes_max gateway/store/tests/it/full_disk.rs a_full_database_stores_no_permit_and_no_entry
database.free_bytes_min gateway/store/tests/it/full_disk.rs changes_are_refused_before_the_disk_is_full_and_reads_go_on
hsm.sign_queue_max hsm/src/lanes/tests.rs a_full_lane_refuses_and_the_others_do_not
hsm.token_queue_max hsm/src/lanes/tests.rs a_full_lane_refuses_and_the_others_do_not
hsm.decrypt_queue_max hsm/src/lanes/tests.rs a_full_lane_refuses_and_the_others_do_not
hsm.generate_queue_max hsm/tests/it/limits.rs a_full_lane_refuses_while_others_go_on
hsm.canary_queue_max hsm/src/lanes/tests.rs a_full_lane_refuses_and_the_others_do_not
hsm.lane_patience_ms hsm/src/lanes/tests.rs a_lane_that_waited_too_long_goes_first
hsm.sign_timeout_ms hsm/tests/it/remote.rs a_stopped_server_costs_threads_but_no_late_signature
hsm.decrypt_timeout_ms hsm/tests/it/limits.rs a_decryption_that_comes_too_late_is_refused
hsm.generate_timeout_ms hsm/tests/it/limits.rs generation_that_comes_too_late_is_adopted_later
hsm.canary_timeout_ms tests/it/token_loss.rs a_gateway_whose_token_hangs_ends_to_be_started_anew
hsm.quiesce_timeout_ms tests/it/token_loss.rs a_gateway_whose_token_hangs_ends_to_be_started_anew
hsm.message_bytes_max hsm/tests/it/limits.rs messages_above_the_limit_are_refused
hsm.stuck_threads_max hsm/tests/it/remote.rs a_stopped_server_costs_threads_but_no_late_signature
hsm.canary_failures_max hsm/tests/it/faults.rs a_lost_canary_opens_the_breaker_after_several_failures
hsm.canary_stale_ms hsm/tests/it/faults.rs readiness_follows_the_age_of_the_canary
hsm.start_attempts_max hsm/tests/it/pin.rs another_token_is_named_by_label_and_serial
hsm.lock_timeout_ms hsm/tests/it/pin.rs a_start_waits_for_the_lock_of_another_and_no_longer_than_allowed
hsm.pin_unresolved_max hsm/tests/it/pin.rs log_ins_without_known_outcome_are_limited
plugins.cache_bytes_max plugins/host/tests/it/cache.rs beyond_the_bound_what_was_not_used_for_longest_goes
plugins.threads plugins/host/tests/it/schedule.rs thousand_evaluations_at_once_all_answer
plugins.running_per_plugin_max plugins/host/tests/it/schedule.rs plugin_that_hogs_its_threads_leaves_some_to_others
plugins.slice_ms plugins/host/tests/it/schedule.rs what_runs_for_longer_than_a_slice_leaves_the_only_thread_to_others
plugins.long_for_ms plugins/host/src/queue/tests.rs a_subject_with_a_long_run_is_long_for_its_time
plugins.pause_max_ms plugins/host/src/queue/tests.rs a_long_run_stands_still_for_short_ones_until_its_pause_or_its_time_is_over
plugins.background_threads plugins/host/tests/it/schedule.rs as_many_long_evaluations_as_allowed_run_beside_the_threads
plugins.waiting_per_plugin_max plugins/host/tests/it/schedule.rs full_queue_refuses_its_own_plugin_at_once_and_no_other
plugins.waiting_total_max plugins/host/src/queue/tests.rs all_plugins_together_fill_the_host
plugins.deadline_ms plugins/host/tests/it/hostile.rs endless_loop_meets_the_deadline
plugins.breaker_failures_max plugins/host/src/breaker/tests.rs so_many_stops_in_a_row_open_it_for_this_subject_alone
plugins.breaker_open_ms plugins/host/src/breaker/tests.rs after_its_time_one_run_decides_for_all
plugins.prepared_max gateway/src/adapters/evaluator/recent/tests.rs beyond_its_number_the_one_not_asked_for_longest_goes
plugins.aside_threads plugins/host/tests/it/schedule.rs what_is_tried_out_and_what_is_evaluated_do_not_wait_for_each_other
plugins.aside_waiting_max plugins/host/tests/it/schedule.rs so_much_waits_to_be_tried_out_and_no_more
plugins.aside_waiting_per_organization_max plugins/host/tests/it/schedule.rs one_organization_fills_its_own_part_of_what_waits_to_be_tried_out
plugins.memory_bytes_max plugins/host/tests/it/hostile.rs memory_bomb_in_one_go_meets_the_memory_limit
plugins.table_elements_max plugins/host/tests/it/hostile.rs table_that_grows_meets_the_table_limit
plugins.instances_max plugins/host/tests/it/compile.rs component_of_too_many_instances_or_too_large_memories_is_refused
plugins.large_memory_bytes_max plugins/host/tests/it/languages.rs large_components_have_bounds_of_their_own
plugins.large_instances_max plugins/host/tests/it/languages.rs large_components_have_bounds_of_their_own
plugins.large_component_bytes_min plugins/host/tests/it/languages.rs large_components_have_bounds_of_their_own
plugins.memories_max plugins/host/tests/it/compile.rs component_of_too_many_instances_or_too_large_memories_is_refused
plugins.stack_bytes_max plugins/host/tests/it/hostile.rs deep_recursion_meets_the_native_stack_limit
plugins.transfer_bytes_max plugins/host/tests/it/hostile.rs alias_bomb_meets_the_transfer_limit
plugins.log_lines_max plugins/host/tests/it/hostile.rs log_flood_meets_the_line_limit
plugins.log_bytes_max plugins/host/tests/it/hostile.rs long_log_line_meets_the_byte_limit
plugins.log_line_bytes_max plugins/host/tests/it/record.rs log_lines_are_plain_and_cut
plugins.settings_bytes_max plugins/host/tests/it/hostile.rs settings_above_the_limit_never_reach_the_guest
plugins.state_keys_max plugins/host/tests/it/hostile.rs state_floods_meet_their_limits
plugins.state_key_bytes_max plugins/host/tests/it/hostile.rs state_floods_meet_their_limits
plugins.state_value_bytes_max plugins/host/tests/it/hostile.rs state_floods_meet_their_limits
plugins.state_rows_max gateway/store/tests/it/plugin_state.rs a_full_lineage_takes_no_more_rows
plugins.state_reservations_max gateway/api/tests/it/plugin_state.rs an_evaluation_beyond_a_bound_of_state_fails_and_denies
plugins.host_calls_max plugins/host/tests/it/history.rs question_after_question_meets_the_limit_on_calls
plugins.host_call_bytes_max plugins/host/tests/it/history.rs long_answers_meet_the_limit_on_their_bytes
plugins.history_rows_max gateway/store/tests/it/history.rs a_question_that_needs_more_rows_than_allowed_has_no_answer
plugins.history_named_max gateway/store/tests/it/history.rs no_more_transactions_are_named_than_allowed
plugins.history_window_seconds_max gateway/store/tests/it/history.rs a_question_that_goes_back_too_far_has_no_answer
plugin_upstreams.timeout_ms gateway/clients/src/upstream/tests.rs size_and_time_of_an_answer_are_bounded
plugin_upstreams.request_bytes_max gateway/clients/src/upstream/tests.rs what_is_not_declared_is_not_sent
plugin_upstreams.response_bytes_max gateway/clients/src/upstream/tests.rs size_and_time_of_an_answer_are_bounded
plugins.analysis_bytes_max plugins/host/tests/it/hostile.rs steering_text_is_stripped_and_cut
plugins.evidence_entries_max plugins/host/tests/it/hostile.rs too_many_entries_of_evidence_are_refused
plugins.evidence_bytes_max plugins/host/src/evaluation/answer/tests.rs evidence_is_cut_and_stripped
plugins.list_entries_max plugins/host/tests/it/hostile.rs too_many_problems_with_settings_are_refused
plugins.schema_bytes_max plugins/host/src/evaluation/answer/tests.rs schema_above_the_limit_is_refused_and_never_cut
plugins.component_bytes_max plugins/host/tests/it/compile.rs component_above_the_size_limit_is_refused
plugins.artifact_bytes_max plugins/host/tests/it/bombs.rs sparse_memories_meet_the_bound_on_compiled_code
plugins.compile_memory_bytes_max plugins/host/tests/it/bombs.rs many_sparse_memories_meet_the_bound_on_the_compilers_memory
plugins.compile_cpu_seconds_max plugins/host/tests/it/bombs.rs loops_in_loops_meet_the_bound_on_processor_time
plugins.compile_timeout_ms plugins/host/tests/it/compile.rs child_that_hangs_is_ended_at_its_time_out
plugins.compile_concurrent_max plugins/host/tests/it/compile.rs beyond_so_many_compilations_at_once_they_take_turns
chains.agreement tests/it/replacement.rs one_lying_node_of_two_makes_nothing_executed_and_hides_nothing
chains.rpc_connect_timeout_ms gateway/chains/src/evm/rpc/http/tests.rs node_that_takes_no_connection_meets_its_own_deadline
chains.rpc_call_timeout_ms gateway/chains/src/evm/rpc/http/tests.rs silent_node_meets_the_deadline
chains.rpc_response_bytes_max gateway/chains/src/evm/rpc/http/tests.rs answer_over_the_limit_is_refused
chains.confirmations tests/it/replacement.rs a_reorganized_transaction_executes_on_the_chain_that_stays
chains.gas_limit_max gateway/chains/src/evm/fees/tests.rs gas_headroom_gives_way_to_the_maximum_and_the_estimate_does_not
chains.gas_limit_headroom_percent gateway/chains/src/evm/fees/tests.rs gas_headroom_gives_way_to_the_maximum_and_the_estimate_does_not
chains.fee_per_gas_max_wei gateway/chains/src/evm/fees/tests.rs headroom_gives_way_to_the_cap_and_the_present_price_does_not
chains.priority_fee_min_wei gateway/chains/src/evm/fees/tests.rs tip_is_brought_within_its_bounds
chains.priority_fee_max_wei gateway/chains/src/evm/fees/tests.rs tip_is_brought_within_its_bounds
chains.base_fee_percent gateway/chains/src/evm/fees/tests.rs headroom_and_tip_are_added
chains.fee_quote_age_max_ms gateway/chains/src/evm/node/tests.rs a_word_on_fees_is_believed_for_a_while_but_never_for_a_replacement
chains.block_age_max_seconds gateway/chains/src/evm/node/tests/state.rs a_block_that_is_too_old_is_not_read
chains.replacement_bump_permille gateway/chains/src/evm/fees/tests.rs replacement_rounds_its_bump_up
chains.stuck_after_ms tests/it/replacement.rs a_stuck_transaction_is_outbid_under_its_own_nonce_and_paid_once
core.contract_accounts.agreement gateway/chains/src/evm/node/tests/contract.rs as_many_nodes_as_demanded_must_say_yes
core.contract_accounts.call_gas_max gateway/chains/src/evm/rpc/http/tests.rs a_contract_is_asked_within_its_gas_at_a_block
core.contract_accounts.answer_timeout_ms gateway/api/tests/it/contract_accounts/questions.rs nodes_that_take_too_long_prove_nothing
core.contract_accounts.block_age_max_seconds gateway/chains/src/evm/node/tests/contract.rs the_newest_block_that_enough_nodes_have_finalized_is_asked_about
core.contract_accounts.signature_bytes_max gateway/api/tests/it/contract_accounts.rs a_contracts_signature_has_a_greatest_length
core.contract_accounts.questions_per_organization_max gateway/domain/src/identity/contract_account/turns/tests.rs an_organization_has_so_many_places_and_no_more
core.contract_accounts.questions_max gateway/api/tests/it/contract_accounts/questions.rs so_many_questions_are_under_way_at_once_and_no_more
core.contract_accounts.questions_per_account_max gateway/api/tests/it/contract_accounts/questions.rs one_stranger_holds_neither_all_places_of_an_account_nor_all_there_are
core.contract_accounts.questions_per_source_max gateway/api/tests/it/contract_accounts/questions.rs one_stranger_holds_neither_all_places_of_an_account_nor_all_there_are
limits.wallet_keys_max gateway/api/tests/it/bounds.rs wallet_keys_have_a_quota
limits.self_registered_share_percent gateway/api/tests/it/strangers.rs ten_thousand_registrations_stop_at_their_share_and_server_keys_still_enrol
limits.unfinished_key_seconds gateway/api/tests/it/interrupted.rs interrupted_keys_are_adopted_or_retired
limits.open_proposals_max gateway/api/tests/it/operators/changes.rs open_proposals_are_bounded
limits.recovery_delay_seconds gateway/api/tests/it/operators/recovery.rs a_lost_charter_is_recovered_after_its_delay_and_the_old_keys_are_no_more
limits.rollback_window_seconds gateway/api/tests/it/operators/rollbacks.rs after_a_while_nothing_that_a_quorum_replaced_comes_back_by_one
limits.proposal_bytes_max gateway/api/tests/it/operators/plugins.rs a_proposal_is_bounded_in_bytes
limits.vaults_max gateway/api/tests/it/vaults.rs vaults_of_an_organization_are_bounded
limits.plugin_revisions_max gateway/api/tests/it/operators/plugins.rs stored_revisions_are_bounded
limits.dry_run_evaluations_daily_max gateway/api/tests/it/operators/dry_runs.rs dry_runs_of_an_organization_store_so_much_a_day_and_no_more
server.dry_run_burst gateway/api/tests/it/operators/dry_runs.rs an_operator_tries_out_so_often_and_no_more
server.dry_run_period_ms gateway/api/tests/it/operators/dry_runs.rs an_operator_tries_out_so_often_and_no_more
server.operator_burst gateway/api/tests/it/operators/plugins.rs an_operator_asks_so_often_and_no_more
server.operator_period_ms gateway/api/tests/it/operators/plugins.rs an_operator_asks_so_often_and_no_more
server.plugin_uploads_max gateway/api/tests/it/operators/plugins.rs uploads_have_places_of_their_own
server.plugin_upload_timeout_ms gateway/api/tests/it/operators/plugins.rs an_upload_that_takes_too_long_is_given_up
limits.votes_per_principal_max gateway/api/tests/it/second_votes.rs lapsed_approvals_are_so_many_and_a_rejection_still_ends_it
limits.user_api_keys_max gateway/api/tests/it/user_api_keys.rs a_user_has_so_many_active_keys_and_no_more
limits.idempotency_window_seconds gateway/store/tests/it/conflicts.rs an_expired_idempotency_key_may_be_used_again
limits.permit_seconds gateway/api/tests/it/abort.rs a_permit_holds_no_longer_than_configured
limits.denied_tries_max gateway/api/tests/it/bounds.rs a_denied_transaction_can_be_asked_for_again_so_often_and_no_more
limits.denied_window_seconds gateway/api/tests/it/bounds.rs a_denied_transaction_can_be_asked_for_again_so_often_and_no_more
limits.contest_attempts_max gateway/api/tests/it/settings.rs who_loses_against_others_too_often_is_told_so
outbox.batch_max tests/it/bounds.rs no_more_transactions_are_carried_on_at_once_than_configured
outbox.concurrency_max tests/it/bounds.rs no_more_transactions_are_carried_on_at_once_than_configured
outbox.lease_ms gateway/store/tests/it/outbox.rs a_claimed_item_is_claimed_by_nobody_else_until_its_lease_ends
audit.checkpoint_entries gateway/src/checkpoints/tests.rs a_checkpoint_is_signed_after_so_many_entries_or_when_it_is_due
audit.checkpoint_interval_ms gateway/src/checkpoints/tests.rs unsigned_entries_do_not_wait_longer_than_the_interval
telemetry.metrics_idle_seconds gateway/src/telemetry/tests.rs counters_that_nothing_was_added_to_are_let_go_and_gauges_stay
telemetry.trace_sample_percent gateway/src/telemetry/tests.rs what_is_not_sampled_is_not_sent
telemetry.trace_queue_max gateway/src/telemetry/tests.rs a_receiver_that_does_not_answer_holds_up_neither_spans_nor_the_end
telemetry.otlp_timeout_ms gateway/src/telemetry/tests.rs a_receiver_that_does_not_answer_holds_up_neither_spans_nor_the_end
database.sweep_timeout_seconds gateway/store/tests/it/sweeps.rs nothing_is_permitted_before_the_rows_are_proven
database.rows_remembered_max gateway/store/src/seen/tests.rs the_rows_seen_last_are_remembered_within_the_bound
egress.connect_timeout_ms gateway/clients/src/egress/tests.rs a_host_that_takes_no_connection_was_sent_nothing
egress.request_timeout_ms gateway/clients/src/egress/tests.rs size_and_time_are_bounded
egress.response_bytes_max gateway/clients/src/egress/tests.rs size_and_time_are_bounded
egress.response_headers_max gateway/clients/src/egress/tests/hostile.rs a_head_without_end_is_refused
fireblocks.integrations_max gateway/api/tests/it/bounds.rs integrations_with_a_vendor_have_a_quota
fireblocks.recreations_max tests/it/fireblocks.rs a_recreated_key_takes_the_place_of_the_old_one_three_times_a_day
fireblocks.lost_after_seconds gateway/api/tests/it/providers.rs a_transaction_that_the_new_credentials_do_not_show_ends_in_time
privy.quorums_max gateway/api/tests/it/bounds.rs quorums_made_at_a_vendor_have_a_quota
privy.quorums_per_user_max gateway/api/tests/it/bounds.rs quorums_made_at_a_vendor_have_a_quota
onchain_registry.keys_max gateway/api/tests/it/registrations.rs a_user_puts_so_many_keys_on_record_and_no_more
onchain_registry.keys_per_user_max gateway/api/tests/it/registrations.rs a_user_puts_so_many_keys_on_record_and_no_more
openpgp.payloads_per_user_daily_max gateway/api/tests/it/received.rs messages_for_a_user_are_so_many_a_day
openpgp.payload_bytes_daily_max gateway/api/tests/it/received.rs strangers_have_a_share_of_the_bytes
onchain_registry.calls_daily_max gateway/api/tests/it/registrations.rs calls_of_an_organization_are_so_many_a_day_and_strangers_have_a_share
onchain_registry.calls_per_user_daily_max gateway/api/tests/it/registrations.rs calls_in_one_users_name_are_so_many_a_day_and_no_more
fireblocks.validation_pause_ms tests/it/fireblocks.rs an_integration_goes_from_certificate_request_to_validated_key
openpgp.content_bytes_max gateway/openpgp/tests/it/messages.rs content_that_is_not_one_plain_piece_is_named_after_it_was_authenticated
ipfs.connect_timeout_ms gateway/clients/src/egress/tests.rs a_host_that_takes_no_connection_was_sent_nothing
ipfs.call_timeout_ms gateway/ipfs/src/kubo/tests.rs a_node_that_does_not_answer_is_given_up
onchain_registry.gas_max gateway/api/tests/it/simulation/published.rs random_answers_and_deaths_record_every_call_once_and_outbid_what_is_stuck
onchain_registry.fee_per_gas_max_wei gateway/api/tests/it/simulation/published.rs random_answers_and_deaths_record_every_call_once_and_outbid_what_is_stuck
onchain_registry.wait_ms gateway/api/tests/it/registrations.rs an_answer_waits_no_longer_than_allowed_for_the_record_and_the_profile_tells_of_it
";

#[test]
fn every_bound_of_the_configuration_has_a_test() {
    let rows: BTreeMap<&str, (&str, &str)> = TESTS.lines().filter(|line| !line.is_empty()).map(row).collect();
    let keys = numbers();
    for (key, (file, test)) in &rows {
        assert!(keys.contains(*key), "`{key}` is no number of the configuration");
        let text = fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("`{file}`: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "`{key}`: there is no test `{test}` in `{file}`");
    }
    let named = |key: &String| rows.contains_key(key.as_str()) || NOT_BOUNDS.contains(&key.as_str());
    let untested: Vec<_> = keys.iter().filter(|key| !named(key)).collect();
    assert!(untested.is_empty(), "no test reaches these bounds: {untested:#?}");
    for key in NOT_BOUNDS {
        assert!(keys.contains(*key) && !rows.contains_key(key), "`{key}` is not what it is said to be");
    }
}

fn row(line: &str) -> (&str, (&str, &str)) {
    let words: Vec<&str> = line.split(' ').collect();
    let [key, file, test] = words[..] else { panic!("not three words: `{line}`") };
    (key, (file, test))
}

/// The keys that take an integer, as the reference page lists them.
fn numbers() -> BTreeSet<String> {
    let page = fs::read_to_string(root().join("deploy/CONFIGURATION.md")).unwrap();
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## `") {
            section = title.trim_matches(|letter| "[]`".contains(letter));
        }
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        if let ["", key, "integer", ..] = cells[..] {
            found.insert(format!("{section}.{}", key.trim_matches('`')));
        }
    }
    found
}
