//! What every store must do, whatever database is behind it. A test takes a fresh, empty store; `suite!` runs all of
//! them over one kind of store.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod apps;
mod backlog;
mod calls;
mod catalog;
#[path = "../support/databases.rs"]
mod databases;
mod history;
mod lists;
mod make;
mod opening;
mod queue;
mod routes;
mod time;

/// One module of tests over the stores that `$make` makes.
macro_rules! suite {
    ($store:ident: $($area:ident { $($test:ident)* })*) => {
        mod $store {
            $(mod $area {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let stand = crate::make::$store().await;
                    let store = stand.open().await;
                    crate::$area::$test(std::sync::Arc::clone(&store)).await;
                    store.close().await;
                    stand.remove().await;
                })*
            })*
        }
    };
}

macro_rules! every_test {
    ($($store:ident)*) => {
        $(suite! { $store:
            apps {
                an_app_comes_back_as_it_was_stored
                a_name_is_taken_once_and_bytewise
                an_update_merges_the_configuration
                what_is_not_there_is_not_found
                a_removed_app_takes_everything_along_and_frees_its_name
                what_a_removed_app_left_is_purged_in_batches
            }
            routes {
                a_new_route_makes_its_app_once
                a_route_comes_back_as_function_and_trigger
                a_refused_route_leaves_no_app_behind
                an_upsert_creates_and_then_merges
                an_update_merges_and_changes_nothing_when_refused
                a_change_tells_whether_containers_are_out_of_date
                names_that_derive_from_paths_are_unique
                removing_a_route_removes_its_function
                resolving_tells_a_missing_app_from_a_missing_route
                a_path_that_is_too_long_is_refused_as_such
                concurrent_changes_of_one_route_lose_nothing
            }
            catalog {
                an_app_is_changed_and_removed_by_its_id
                a_function_comes_back_as_it_was_stored
                a_function_needs_its_app_and_a_name_of_its_own
                a_change_of_a_function_tells_whether_containers_are_out_of_date
                a_removed_function_takes_its_triggers_along
                a_trigger_comes_back_as_it_was_stored
                a_trigger_is_held_to_its_rules_in_order
                a_changed_trigger_is_held_to_the_same_rules
                the_first_path_of_a_function_decides_about_its_containers
                a_source_that_is_too_long_is_refused_as_such
                functions_are_listed_by_name
                triggers_of_one_name_are_all_listed
                what_one_door_makes_the_other_shows
                what_was_made_here_stays_when_its_route_goes
                functions_are_resolved_by_id
                concurrent_changes_of_one_app_lose_nothing
            }
            calls {
                a_call_comes_back_with_everything
                logs_come_back_byte_for_byte
                a_thousand_records_are_one_group
                groups_of_every_size_are_stored
                calls_of_a_group_may_differ_in_anything
                recording_again_changes_nothing
                a_final_state_is_never_overwritten
                a_group_may_hold_a_call_twice
                records_of_apps_that_are_gone_are_discarded
                a_call_belongs_to_its_app
                earlier_instances_calls_are_interrupted
                many_writers_lose_nothing
            }
            queue {
                a_queued_call_comes_back_with_its_request_byte_for_byte
                an_accepted_call_can_be_read_at_every_moment
                accepting_again_changes_nothing
                calls_of_a_missing_app_are_not_accepted
                priority_goes_first_and_then_who_came_first
                a_delayed_call_is_not_ready_before_its_time
                a_ready_call_is_leased_once
                only_ready_calls_are_leased_by_name
                calls_of_functions_without_room_are_passed_over
                a_discarded_call_ends_and_leaves_nothing
                a_lapsed_lease_returns_to_its_old_place
                a_renewed_lease_does_not_lapse
                a_lost_lease_ends_nothing
                a_result_ends_the_call_in_the_queue
                a_result_stored_twice_counts_once_and_stays
                what_was_given_back_did_not_count_as_an_attempt
                a_retried_call_waits_and_keeps_its_place
                a_call_whose_server_is_lost_each_time_is_given_up
                a_buried_call_is_an_error_and_is_listed
                a_dead_call_is_trimmed_with_its_request
                a_redriven_call_is_a_new_one_with_the_same_request
                a_cancelled_call_ends_wherever_it_was
                earlier_instances_leases_are_released
                a_removed_app_takes_its_queue_along
                the_depth_tells_what_there_is
                many_nodes_lease_every_call_once
                what_others_make_ready_is_heard_of
            }
            time {
                the_clock_tells_the_time_and_goes_on
                delays_end_while_leases_are_kept
                a_store_is_told_from_others
            }
            history {
                the_newest_calls_are_kept
                young_calls_are_kept
                no_call_goes_before_its_time
                only_ended_calls_are_removed_and_their_logs_with_them
                a_duty_has_one_holder_at_a_time
                keepers_remove_what_is_not_kept_and_nothing_else
                nothing_of_a_removed_app_is_left_when_its_calls_end_late
            }
            lists {
                apps_are_listed_by_bytes
                a_page_continues_where_the_last_one_ended
                pages_of_apps_make_the_whole_list
                routes_are_listed_by_bytes_and_image
                routes_of_a_missing_app_are_not_found
                calls_are_listed_newest_first
                every_filter_of_calls_means_what_it_says
            }
        })*
    };
}

every_test! { sqlite postgres mariadb }
