//! What every log store must do, whatever is behind it, and what calls and logs in two stores must do together.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod alone;
#[path = "../support/databases.rs"]
mod databases;
mod elsewhere;
mod make;
mod s3;
mod stand;

/// One module of tests over the log stores that `$make` makes.
macro_rules! suite {
    ($store:ident: $($area:ident { $($test:ident)* })*) => {
        mod $store {
            $(mod $area {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    crate::$area::$test(crate::stand::$store().await).await;
                })*
            })*
        }
    };
}

macro_rules! every_test {
    ($($store:ident)*) => {
        $(suite! { $store:
            alone {
                logs_come_back_byte_for_byte
                the_first_log_stays
                a_log_belongs_to_its_app
                logs_are_removed_one_by_one_and_app_by_app
                a_store_that_is_opened_again_has_its_logs
            }
            elsewhere {
                a_call_and_its_log_are_found_from_both_stores
                only_logs_of_stored_calls_are_written
                trimmed_calls_take_their_logs_along
                a_removed_app_takes_its_logs_along
                who_reads_a_log_just_after_its_call_waits_for_it
                logs_from_before_are_still_found
            }
        })*
    };
}

every_test! { sqlite postgres mariadb directory bucket }
