//! The store alone. Every case runs on SQLite and on a PostgreSQL that the test starts itself.

#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "each test binary uses its part of it")]
mod postgres;

mod agents;
mod alerts;
mod compacted;
mod compaction;
mod delivery;
mod engines;
mod fixture;
mod indexed;
mod limits;
mod log;
mod migrations;
mod others;
mod segments;

/// Makes a test of each case for each engine.
macro_rules! on_both {
    ($($module:ident: $($case:ident),+;)+) => {
        mod on_sqlite {
            $(mod $module { $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$module::$case(crate::fixture::Fixture::sqlite()).await;
                }
            )+ })+
        }
        mod on_postgres {
            $(mod $module { $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$module::$case(crate::fixture::Fixture::postgres()).await;
                }
            )+ })+
        }
    };
}

on_both! {
    log: slices_follow_each_other_and_expire_whole,
        a_clock_that_goes_back_does_not_reorder,
        a_batch_is_stored_once_and_its_number_is_remembered,
        reading_forward_and_backward_agree,
        queries_find_what_they_name,
        a_span_is_found_over_several_slices,
        what_is_beyond_the_retention_is_not_shown;
    segments: slices_close_behind_the_newest_and_are_replaced_at_once,
        an_hour_replaces_its_slices_and_keeps_readers_under_way,
        samples_go_before_events,
        what_is_not_published_never_was,
        what_is_replaced_is_gone_after_a_kill,
        segments_are_there_after_a_restart;
    limits: the_oldest_go_when_there_is_too_much;
    compaction: what_is_compacted_says_the_same,
        an_unreadable_batch_is_left_out_and_told;
    agents: what_agents_last_said_is_kept;
    alerts: rules_are_replaced_and_deleted,
        an_evaluation_is_kept_whole,
        silences_are_kept_until_they_expire;
    delivery: channels_are_kept_and_their_names_are_their_own,
        messages_of_one_key_leave_one_after_the_other,
        what_found_nobody_is_tried_when_somebody_is_there,
        groups_become_one_message,
        what_was_told_is_kept_with_the_messages,
        lists_go_back_and_what_is_too_much_goes;
    compacted: events_are_the_same_after_compaction;
    indexed: what_the_index_rules_out_is_not_decoded,
        a_page_of_many_agents_opens_few_segments;
    migrations: segments_of_version_1_say_the_same,
        segments_of_version_2_say_the_same;
    engines: one_server_at_a_time;
}
