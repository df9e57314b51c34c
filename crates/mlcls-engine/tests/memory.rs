//! A training plan's memory as the plan states it, beside what the system sees. Alone in its file, hence in its process, so
//! that no other test takes memory meanwhile.

use mlcls_engine::{Activation, ConvOptions, Graph, GraphBuilder, TrainPlan, Weights, resident_bytes};

/// Wide early layers: a large arena for little arithmetic.
fn graph() -> mlcls_engine::Result<Graph> {
    let mut b = GraphBuilder::new("wide", 128);
    let mut x = b.input([0.5; 3], [0.5; 3]);
    x = b.conv("stem", x, 32, ConvOptions { kernel: 3, stride: 2, ..Default::default() })?;
    for i in 0..4 {
        x = b.batch_norm(&format!("bn{i}"), x, 1e-5, 0.1)?;
        x = b.activation(x, Activation::HardSwish);
        x = b.depthwise(&format!("dw{i}"), x, ConvOptions { kernel: 3, ..Default::default() })?;
    }
    let x = b.batch_norm("bn", x, 1e-5, 0.1)?;
    let map = b.activation(x, Activation::HardSwish);
    let features = b.global_pool(map);
    let logits = b.cosine_linear("head", features, 4, 7.0)?;
    b.finish(map, features, logits)
}

#[test]
fn what_a_step_keeps_resident_is_what_the_plan_says() {
    const BATCH: usize = 48;
    // Each thread keeps a few tiles; with the threads of a large machine they would be a plan's worth of memory.
    rayon::ThreadPoolBuilder::new().num_threads(2).build_global().unwrap();
    let graph = graph().unwrap();
    let mut weights = Weights::init(&graph, 7);
    let pixels = vec![128u8; BATCH * graph.input_shape().len()];
    let dlogits = vec![0.01; BATCH * graph.output_len()];
    let mut grads = vec![1.0; weights.params.len()];
    let Some(before) = resident_bytes() else {
        println!("skipped: this system does not tell a process how much memory it holds");
        return;
    };

    let mut plan = TrainPlan::new(&graph, BATCH).unwrap();
    for seed in 0..2 {
        plan.forward(&weights.params, &mut weights.buffers, &pixels, BATCH, seed).unwrap();
        plan.backward(&weights.params, &dlogits, &mut grads).unwrap();
    }

    let measured = (resident_bytes().unwrap() - before) as f64;
    let stated = TrainPlan::bytes_needed(&graph, BATCH).unwrap();
    assert_eq!(stated, plan.arena_bytes() + pixels.len());
    assert_eq!(plan.arena_bytes(), plan.arena_map().bytes);
    assert!(plan.arena_bytes() > 100_000_000, "{} bytes are too few to measure", plan.arena_bytes());
    let ratio = measured / stated as f64;
    println!("stated {:.1} MB, measured {:.1} MB", stated as f64 * 1e-6, measured * 1e-6);
    assert!(
        (ratio - 1.0).abs() < 0.1,
        "stated {stated} bytes, measured {measured}: {ratio:.3} times as many"
    );
}
