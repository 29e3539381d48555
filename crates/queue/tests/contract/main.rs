//! What the queue must do, whoever keeps its order: the store, this process, or Redis. A test takes a fresh stand;
//! `suite!` runs all of them over one kind of order.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod clock;
mod crashes;
mod faulty;
mod leases;
mod order;
mod redis;
mod stand;

/// One module of tests over the stands that `$kind` makes.
macro_rules! suite {
    ($module:ident, $kind:expr; $($area:ident { $($test:ident)* })*) => {
        mod $module {
            $(mod $area {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$area::$test(crate::stand::Stand::new($kind).await).await;
                })*
            })*
        }
    };
}

macro_rules! every_test {
    ($($module:ident = $kind:expr),*) => {
        $(suite! { $module, $kind;
            order {
                calls_come_back_by_priority_and_then_as_they_came
                who_waits_is_woken_by_an_accept
                a_delayed_call_comes_at_its_time_by_itself
                accepts_that_come_together_are_all_stored
                an_app_has_a_bound
                the_calls_of_an_app_are_counted_by_one_for_all
                what_cannot_be_stored_is_not_accepted
                two_servers_share_the_work
                functions_without_room_hold_up_nobody
                a_function_without_room_keeps_its_place_in_the_order
                a_call_that_cannot_run_any_more_ends
            }
            leases {
                a_held_lease_is_renewed
                a_result_frees_its_lease
                what_is_given_back_is_next_again
                a_failed_call_is_tried_again_and_then_given_up
                a_redriven_call_comes_again
                a_cancelled_call_is_lost_to_who_runs_it
                all_that_is_done_is_counted
                a_server_knows_how_full_the_queue_is
            }
            clock {
                a_call_outlives_an_outage_that_is_longer_than_its_lease
                a_clock_that_is_set_forward_takes_no_call_away
                what_is_due_and_locked_is_waited_for_without_haste
                many_leases_are_renewed_in_parts
                a_result_is_renewed_only_while_it_is_on_its_way
            }
            crashes {
                who_dies_with_a_lease_loses_it
                a_restarted_server_takes_its_calls_up_at_once
                what_was_stored_and_never_announced_is_found
                what_was_taken_and_never_leased_is_found
                what_has_ended_is_not_run_again
                accepted_before_the_stop_is_stored
            }
        })*
    };
}

every_test! {
    store = crate::stand::Kind::Store,
    memory = crate::stand::Kind::Memory,
    redis_server = crate::stand::Kind::Redis
}
