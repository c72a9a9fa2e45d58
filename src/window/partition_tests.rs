//! When partitions hold the watermark back, and when they no longer do.

use super::*;

const PATIENCE: Patience = Patience { lateness: 10, idle_after: 60, stalled_after: 600 };

fn partitions(times: &[Option<Millis>]) -> Partitions {
    let mut all = Partitions::default();
    for (number, time) in (0..).zip(times) {
        let partition = all.entry("t", number);
        if let Some(time) = time {
            partition.saw(*time);
        }
    }
    all
}

#[test]
fn the_slowest_partition_decides() {
    assert_eq!(partitions(&[Some(100), Some(50)]).watermark(0, PATIENCE), Some(40));
}

#[test]
fn a_partition_without_records_holds_all_back_until_it_is_idle() {
    let mut all = partitions(&[Some(100), None]);
    assert_eq!(all.watermark(500, PATIENCE), None, "its end is not reached yet");
    all.entry("t", 1).is_at_end(500);
    all.entry("t", 1).broker_answers(true, 559);
    assert_eq!(all.watermark(559, PATIENCE), None, "silent, but not for long");
    assert_eq!(all.watermark(560, PATIENCE), None, "nobody heard the broker since");
    all.entry("t", 1).broker_answers(true, 560);
    assert_eq!(all.watermark(560, PATIENCE), Some(90));
}

#[test]
fn when_all_are_idle_the_newest_decides() {
    let mut all = partitions(&[Some(100), Some(50)]);
    for number in 0..2 {
        all.entry("t", number).is_at_end(0);
        all.entry("t", number).broker_answers(true, 60);
    }
    assert_eq!(all.watermark(60, PATIENCE), Some(90));
}

#[test]
fn a_lagging_partition_is_waited_for_while_it_tells_time() {
    let mut all = partitions(&[Some(100), Some(50)]);
    let step = |all: &mut Partitions, number, offset| {
        all.entry("t", number).moved_behind(offset);
        all.entry("t", number).told_time();
    };
    for offset in 0..20 {
        let now = offset * 599;
        (0..2).for_each(|number| step(&mut all, number, offset));
        assert_eq!(all.watermark(now, PATIENCE), Some(40), "at {now}");
    }
    let began = 19 * 599;
    for offset in 1..6 {
        step(&mut all, 0, 19 + offset);
        assert_eq!(all.watermark(began + offset * 100, PATIENCE), Some(40));
    }
    step(&mut all, 0, 25);
    assert_eq!(all.watermark(began + 599, PATIENCE), Some(40));
    step(&mut all, 0, 26);
    assert_eq!(all.watermark(began + 600, PATIENCE), Some(90), "it stands still");
    assert_eq!(all.stalled().map(|(id, _)| id.1).collect::<Vec<_>>(), [1]);
    step(&mut all, 1, 20);
    assert_eq!(all.watermark(began + 601, PATIENCE), Some(40), "it moves again");
}

#[test]
fn an_outage_of_all_leaves_nobody_behind() {
    // Both at their ends, or both behind.
    for ends in [true, false] {
        let mut all = partitions(&[Some(100), Some(50)]);
        if ends {
            (0..2).for_each(|number| all.entry("t", number).is_at_end(0));
        }
        for now in (0..=10_000).step_by(10) {
            (0..2).for_each(|number| all.entry("t", number).broker_answers(false, now));
            assert_eq!(all.watermark(now, PATIENCE), Some(40), "at {now}");
        }
        // The line is back, and the first of them reads on.
        for offset in 0..40 {
            let (now, first) = (10_001 + offset, all.entry("t", 0));
            first.moved_behind(offset);
            first.saw(200);
            first.told_time();
            (0..2).for_each(|number| all.entry("t", number).broker_answers(true, now));
            assert_eq!(
                all.watermark(now, PATIENCE),
                Some(40),
                "the other has not had its turn yet, at {now}"
            );
        }
        assert_eq!(all.stalled().count(), 0);
    }
}

#[test]
fn a_broker_that_is_gone_for_long_leaves_its_partitions_behind_and_does_not_make_them_idle() {
    let mut all = partitions(&[Some(100), Some(50)]);
    all.entry("t", 1).is_at_end(0);
    for offset in 0..=60 {
        let now = offset * 10;
        all.entry("t", 0).moved_behind(offset);
        all.entry("t", 0).told_time();
        all.entry("t", 1).broker_answers(false, now);
        let expected = if now < 600 { 40 } else { 90 };
        assert_eq!(all.watermark(now, PATIENCE), Some(expected), "at {now}");
    }
    assert_eq!(all.stalled().map(|(id, _)| id.1).collect::<Vec<_>>(), [1]);
    assert_eq!(all.idle().count(), 0);
    all.entry("t", 1).broker_answers(true, 601);
    assert_eq!(all.watermark(601, PATIENCE), Some(40), "it is back, and still at its end");
}

#[test]
fn what_one_client_said_of_the_end_is_nothing_to_the_next() {
    let mut all = partitions(&[Some(100), Some(50)]);
    all.entry("t", 0).is_at_end(0);
    all.entry("t", 1).is_at_end(0);
    all.entry("t", 1).begins();
    (0..2).for_each(|number| all.entry("t", number).broker_answers(true, 500));
    assert_eq!(all.watermark(500, PATIENCE), Some(40));
}

#[test]
fn records_that_say_nothing_about_time_keep_nobody_waiting() {
    let mut all = partitions(&[Some(100), None]);
    all.entry("t", 1).is_at_end(0);
    for offset in 0..10 {
        let now = 59 * (offset + 1);
        all.entry("t", 1).moved_behind(offset);
        all.entry("t", 1).is_at_end(now);
        let expected = (now >= 60).then_some(90);
        assert_eq!(all.watermark(now, PATIENCE), expected, "one every 59, at {now}");
    }
}

#[test]
fn under_steady_traffic_the_end_that_was_told_is_enough() {
    let mut all = partitions(&[Some(100), None]);
    for offset in 0..100 {
        if offset % 15 == 0 {
            all.entry("t", 1).ends(offset, offset);
        }
        all.entry("t", 1).moved_behind(offset);
        assert_eq!(all.watermark(offset, PATIENCE), (offset >= 60).then_some(90), "at {offset}");
    }
    assert_eq!(all.watermark(200, PATIENCE), None, "nothing comes and no end is told: the line may be down");
}

#[test]
fn an_open_transaction_is_waited_for_as_long_as_one_that_is_behind() {
    let mut all = partitions(&[Some(100), Some(50)]);
    all.entry("t", 1).moved_behind(6);
    all.entry("t", 1).ends(7, 9);
    all.entry("t", 1).is_at_end(0);
    assert_eq!(all.watermark(0, PATIENCE), Some(40));
    for now in (0..600).step_by(100) {
        all.entry("t", 0).told_time();
        assert_eq!(all.watermark(now, PATIENCE), Some(40), "records wait that nobody can read yet");
    }
    all.entry("t", 0).told_time();
    assert_eq!(all.watermark(600, PATIENCE), Some(90));
    assert_eq!(all.stalled().count(), 1, "and whoever is not waited for is told of");
    all.entry("t", 1).ends(9, 9);
    all.entry("t", 1).broker_answers(true, 601);
    assert_eq!(all.watermark(601, PATIENCE), Some(90));
    assert_eq!(all.stalled().count(), 0);
}

#[test]
fn time_in_which_nothing_was_read_counts_against_nobody() {
    let mut all = partitions(&[Some(100), Some(50)]);
    all.watermark(0, PATIENCE);
    all.look_anew(10_000);
    assert_eq!(all.watermark(10_000, PATIENCE), Some(40));
}
