use mlcls_data::augment::*;
use mlcls_data::*;
use rand::SeedableRng;
fn cpu() -> f64 {
    let s = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    s.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
fn time(name: &str, n: usize, mut f: impl FnMut(usize)) {
    let t = cpu();
    for i in 0..n {
        f(i)
    }
    println!("{name:20} {:.3} ms", (cpu() - t) / n as f64 * 1e3);
}
fn main() {
    let mut fs: Vec<_> =
        std::fs::read_dir(std::env::args().nth(1).unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    fs.sort();
    fs.truncate(100);
    time("decode", 100, |i| {
        decode_file(&fs[i]).unwrap();
    });
    let im: Vec<Rgb> = fs.iter().map(|f| decode_file(f).unwrap()).collect();
    time("bilinear", 100, |i| {
        resize(&im[i], 224, 224, Resize::Bilinear);
    });
    time("antialias", 100, |i| {
        resize(&im[i], 224, 224, Resize::Antialias);
    });
    let sm: Vec<Rgb> = im.iter().map(|i| resize(i, 224, 224, Resize::Bilinear)).collect();
    for k in OpKind::ALL {
        time(&format!("{k:?}"), 100, |i| {
            k.at_level(3.0, true).apply(&mut sm[i].clone());
        });
    }
    time("rotate", 100, |i| {
        rotate(&sm[i], 7.0);
    });
    time("flip", 100, |i| {
        flip_horizontal(&mut sm[i].clone());
    });
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
    time("augmix", 100, |i| {
        AugMix::default().draw(&mut rng).apply(&mut sm[i].clone());
    });
    for n in AugmentRecipe::PRESETS {
        let r = AugmentRecipe::preset(n).unwrap();
        time(n, 100, |i| {
            r.apply(&sm[i], 224, Resize::Bilinear, &mut rng);
        });
    }
}
