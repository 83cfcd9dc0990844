//! What a reconcile over one hook costs where many are in its namespace: what it reads, not how long it takes.

use std::sync::Arc;

use crate::operator::{
    controllers::context::Context,
    model::ownership::tests::READS,
    probes::scale_tests::many,
    runtime::{cache, reconcile::Reconcile},
    testing::world::World,
};
use hookswitch_api::{HookSwitch, TelephonyHook};

/// How many objects and declarations this thread has read.
fn reads() -> usize {
    cache::READS.get() + READS.get()
}

/// What a reconcile over an object reads, and what is read to find whom its change concerns.
async fn reads_of<K: Reconcile<Context = Context>>(world: &mut World, name: &str) -> (usize, usize) {
    for _ in 0..2 {
        let object = K::index(&world.ctx).get("otp", name).unwrap();
        K::reconcile(object, Arc::clone(&world.ctx)).await.unwrap();
        world.sync();
    }
    let object = K::index(&world.ctx).get("otp", name).unwrap();
    let before = reads();
    let concerned = object.dependents(&world.ctx).len();
    assert!(concerned >= 2, "{concerned}");
    let of_dependents = reads() - before;
    K::reconcile(object, Arc::clone(&world.ctx)).await.unwrap();
    (reads() - before - of_dependents, of_dependents)
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_over_one_of_a_thousand_hooks_reads_no_more_than_over_one_of_ten() {
    let (mut few, mut many) = (many(5), many(500));
    let (of_few, of_many) =
        (reads_of::<TelephonyHook>(&mut few, "a-0003").await, reads_of::<TelephonyHook>(&mut many, "a-0003").await);
    assert!(of_few.0 > 0 && of_few.1 > 0 && of_few == of_many, "{of_few:?} of 10 hooks, {of_many:?} of 1,000");
}

#[tokio::test(start_paused = true)]
async fn a_reconcile_over_one_of_many_switches_reads_no_more_than_over_one_of_few() {
    let (mut few, mut many) = (many(5), many(500));
    let (of_few, of_many) =
        (reads_of::<HookSwitch>(&mut few, "switch-0003").await, reads_of::<HookSwitch>(&mut many, "switch-0003").await);
    assert!(of_few.0 > 0 && of_few.1 > 0 && of_few == of_many, "{of_few:?} of 5 switches, {of_many:?} of 500");
}
