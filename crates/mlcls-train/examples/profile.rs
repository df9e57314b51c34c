//! Where the time of a training step or of inference goes, stage by stage, beside the floor that this machine allows.
//!
//!     cargo run --release -p mlcls-train --example profile -- mobilenetv3_large_100 train 32
//!
//! Arguments: MODEL train|infer BATCH [SIZE [REPETITIONS]]. Prints Markdown: a table of stages, one of kinds, and for training
//! the arena map: what lies where in the plan's memory, and when. `RAYON_NUM_THREADS` sets the threads.

use std::collections::BTreeMap;

use mlcls_engine::{
    ArenaKind, ArenaMap, InferPlan, Profile, Roofline, TrainPlan, Weights, Work, resident_bytes,
};
use mlcls_models::{ModelOptions, build};

const CLASSES: usize = 20;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [model, mode, batch, rest @ ..] = &args[..] else {
        return Err("MODEL train|infer BATCH [SIZE [REPETITIONS]]".into());
    };
    let batch: usize = batch.parse()?;
    let size: usize = rest.first().map_or(Ok(224), |s| s.parse())?;
    let repetitions: usize = rest.get(1).map_or(Ok(5), |s| s.parse())?;
    let model = build(model, &ModelOptions { classes: CLASSES, size, ..Default::default() })?;
    let mut weights = Weights::init(&model.graph, 0);
    let pixels: Vec<u8> =
        (0..batch * size * size * 3).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();

    let roof = Roofline::measure();
    let threads = rayon::current_num_threads();
    println!("{}, {mode}, batch {batch}, {size} px, {threads} threads, {}", model.name, roof.isa);
    println!("limits of this machine: {:.0} GFLOP/s, {:.1} GB/s\n", roof.flops * 1e-9, roof.bytes * 1e-9);

    match mode.as_str() {
        "infer" => {
            let mut plan = InferPlan::new(&model.graph, &weights, batch)?;
            plan.run(&pixels, batch)?;
            plan.reset_profile();
            for _ in 0..repetitions {
                plan.run(&pixels, batch)?;
            }
            let mut profile = plan.profile();
            let rate = 1.0 / profile.seconds;
            // Each thread has images of its own, so a second of the clock is as many seconds of threads; but fewer images
            // than threads are shared by all.
            let own = if batch < threads { 1.0 } else { threads as f64 };
            profile.seconds *= own;
            let one = Roofline { flops: roof.flops / own, bytes: roof.bytes / own, ..roof };
            print(&profile, one, rate);
        }
        "train" => {
            let mut grads = vec![1.0; weights.params.len()];
            let dlogits = vec![0.01; batch * CLASSES];
            let before = resident_bytes();
            let mut plan = TrainPlan::new(&model.graph, batch)?;
            for repetition in 0..repetitions + 1 {
                if repetition == 1 {
                    plan.reset_profile();
                }
                plan.forward(&weights.params, &mut weights.buffers, &pixels, batch, 0)?;
                plan.backward(&weights.params, &dlogits, &mut grads)?;
            }
            let (arena, stated) = (plan.arena_bytes(), TrainPlan::bytes_needed(&model.graph, batch)?);
            println!("arena {:.1} MB, with the pixels {:.1} MB", mb(arena), mb(stated));
            if let Some((before, now)) = before.zip(resident_bytes()) {
                println!("resident memory that the steps added: {:.1} MB", mb(now.saturating_sub(before)));
            }
            println!();
            let profile = plan.profile();
            print(&profile, roof, 1.0 / profile.seconds);
            print_arena(&plan.arena_map());
        }
        other => return Err(format!("mode {other}: expected train or infer").into()),
    }
    Ok(())
}

fn print(profile: &Profile, roof: Roofline, images_per_second: f64) {
    let floor = |w: &Work| w.floor(roof.flops, roof.bytes);
    let us = |seconds: f64| format!("{:.0}", seconds * 1e6);
    println!("Microseconds per image. The floor is the larger of operations and bytes over the limits.\n");
    println!("| stage | kind | output | MFLOP | forward | floor | backward | floor | gap | share |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let mut kinds: BTreeMap<&str, [f64; 5]> = BTreeMap::new();
    for s in &profile.stages {
        let (f, b) = (&s.forward, &s.backward);
        let gap = f.seconds + b.seconds - floor(f) - floor(b);
        println!(
            "| {} | {} | {}x{}x{} | {:.1} | {} | {} | {} | {} | {} | {:.1} % |",
            s.name,
            s.kind,
            s.output.h,
            s.output.w,
            s.output.c,
            f.flops * 1e-6,
            us(f.seconds),
            us(floor(f)),
            us(b.seconds),
            us(floor(b)),
            us(gap),
            100.0 * (f.seconds + b.seconds) / profile.seconds
        );
        let sums = kinds.entry(&s.kind).or_default();
        let shares = [f.seconds, floor(f), b.seconds, floor(b), f.flops + b.flops];
        sums.iter_mut().zip(shares).for_each(|(sum, v)| *sum += v);
    }
    println!("\n| kind | forward | floor | backward | floor | gap | share | GFLOP/s |");
    println!("|---|---|---|---|---|---|---|---|");
    let row = |name: &str, [f, ff, b, bf, flops]: [f64; 5]| {
        let rate = flops / (f + b) * 1e-9;
        let (gap, share) = (us(f + b - ff - bf), 100.0 * (f + b) / profile.seconds);
        println!(
            "| {name} | {} | {} | {} | {} | {gap} | {share:.1} % | {rate:.0} |",
            us(f),
            us(ff),
            us(b),
            us(bf)
        );
    };
    let mut total = [0.0; 5];
    for (kind, sums) in &kinds {
        row(kind, *sums);
        total.iter_mut().zip(sums).for_each(|(t, v)| *t += v);
    }
    row("packing of weights", [profile.packing, 0.0, 0.0, 0.0, 0.0]);
    row("outside", [profile.outside(), 0.0, 0.0, 0.0, 0.0]);
    row("all stages", total);
    println!("\n{} images, {images_per_second:.1} images/s", profile.images);
}

/// MB of 10^6 bytes.
fn mb(bytes: usize) -> f64 {
    bytes as f64 * 1e-6
}

fn print_arena(map: &ArenaMap) {
    println!("\n## Arena map\n");
    println!(
        "{:.1} MB. Values and gradients take turns in the same memory, the rest keeps its own.\n",
        mb(map.bytes)
    );
    println!("| kind | MB |");
    println!("|---|---|");
    let own = |(kind, bytes): &(ArenaKind, usize)| (!kind.is_shared()).then(|| (kind.name(), *bytes));
    println!("| values and gradients | {:.2} |", mb(map.shared_bytes));
    map.kinds.iter().filter_map(own).for_each(|(name, bytes)| println!("| {name} | {:.2} |", mb(bytes)));
    let kind = |kind| mb(map.kinds.iter().filter(|(k, _)| *k == kind).map(|(_, bytes)| bytes).sum());
    let (moment, peak) = map.peak();
    println!(
        "\nWithout turns, values would take {:.1} MB and gradients {:.1} MB, together {:.1} MB. At the peak, `{}`, {:.1} MB \
         live; gaps between them cost {:.1} MB.\n",
        kind(ArenaKind::Value),
        kind(ArenaKind::Gradient),
        mb(map.bytes_without_reuse()),
        map.moment_name(moment),
        mb(peak),
        mb(map.shared_bytes - peak)
    );
    println!("Values and gradients by place; those that live at the peak are marked *.\n");
    println!("| offset MB | MB | value | kind | shape | first | last | |");
    println!("|---|---|---|---|---|---|---|---|");
    for p in &map.pieces {
        let kind = if p.kind == ArenaKind::Value { "value" } else { "gradient" };
        let mark = if (p.first..=p.last).contains(&moment) { "*" } else { "" };
        let (first, last) = (map.moment_name(p.first), map.moment_name(p.last));
        println!(
            "| {:.2} | {:.2} | {} | {kind} | {}x{}x{} | {first} | {last} | {mark} |",
            mb(p.offset),
            mb(p.bytes),
            p.name,
            p.shape.h,
            p.shape.w,
            p.shape.c,
        );
    }
}
