//! Colours, textures and a canvas with antialiased edges.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Red, green and blue in 0 to 1.
pub type Colour = [f32; 3];

/// How far two colours lie apart, from 0 to 1.
pub fn contrast(a: Colour, b: Colour) -> f32 {
    let square = |i: usize| (a[i] - b[i]).powi(2);
    ((square(0) + square(1) + square(2)) / 3.0).sqrt()
}

/// The colour of a hue (a share of the colour circle, any number), a saturation and a value (0 to 1).
pub fn hsv(hue: f32, saturation: f32, value: f32) -> Colour {
    std::array::from_fn(|i| {
        let k = ([5.0, 3.0, 1.0][i] + hue * 6.0).rem_euclid(6.0);
        value - value * saturation * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

/// The one of eight colours that stands out most from all of `others`.
pub fn most_unlike(others: &[Colour], tries: [Colour; 8]) -> Colour {
    let apart = |c: Colour| others.iter().map(|o| contrast(c, *o)).fold(f32::INFINITY, f32::min);
    tries.into_iter().max_by(|a, b| apart(*a).total_cmp(&apart(*b))).unwrap_or_default()
}

/// `colour` moved by at most `amount` per channel.
pub fn near(colour: Colour, amount: f32, rng: &mut ChaCha8Rng) -> Colour {
    colour.map(|c| (c + rng.random_range(-amount..=amount)).clamp(0.0, 1.0))
}

fn mix(a: Colour, b: Colour, t: f32) -> Colour {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * t)
}

/// How a surface runs between its two colours.
#[derive(Clone, Debug)]
enum Pattern {
    Gradient,
    Stripes { period: f32 },
    Clouds { grid: Vec<f32> },
}

/// Cells along each side of the grid behind [`Pattern::Clouds`].
const CLOUD_CELLS: usize = 7;

/// A surface: two colours and a pattern between them, in the coordinates of the image (0 to 1).
#[derive(Clone, Debug)]
pub struct Texture {
    colours: [Colour; 2],
    direction: [f32; 2],
    pattern: Pattern,
}

impl Texture {
    /// A random pattern over the two colours.
    pub fn random(colours: [Colour; 2], rng: &mut ChaCha8Rng) -> Self {
        let angle = rng.random_range(0.0..TAU);
        let pattern = match rng.random_range(0..3) {
            0 => Pattern::Gradient,
            1 => Pattern::Stripes { period: rng.random_range(0.06..0.25) },
            _ => Pattern::Clouds {
                grid: (0..(CLOUD_CELLS + 1) * (CLOUD_CELLS + 1)).map(|_| rng.random()).collect(),
            },
        };
        Self { colours, direction: [angle.cos(), angle.sin()], pattern }
    }

    /// Its two colours.
    pub fn colours(&self) -> [Colour; 2] {
        self.colours
    }

    /// The colour at a point of the image.
    pub fn at(&self, p: [f32; 2]) -> Colour {
        let along = p[0] * self.direction[0] + p[1] * self.direction[1];
        let t = match &self.pattern {
            Pattern::Gradient => (along * 0.5 + 0.5).clamp(0.0, 1.0),
            Pattern::Stripes { period } => {
                // A steep sine instead of a step: stripes without jagged edges.
                (0.5 + 2.0 * (TAU * along / period).sin()).clamp(0.0, 1.0)
            }
            Pattern::Clouds { grid } => clouds(grid, p),
        };
        mix(self.colours[0], self.colours[1], t)
    }
}

/// Smooth interpolation between the values of a coarse random grid.
fn clouds(grid: &[f32], p: [f32; 2]) -> f32 {
    let cell = |v: f32| {
        let x = v.clamp(0.0, 1.0) * CLOUD_CELLS as f32;
        let i = (x as usize).min(CLOUD_CELLS - 1);
        let t = x - i as f32;
        (i, t * t * (3.0 - 2.0 * t))
    };
    let ((i, u), (j, v)) = (cell(p[0]), cell(p[1]));
    let value = |di: usize, dj: usize| grid[(j + dj) * (CLOUD_CELLS + 1) + i + di];
    let top = value(0, 0) + (value(1, 0) - value(0, 0)) * u;
    let bottom = value(0, 1) + (value(1, 1) - value(0, 1)) * u;
    top + (bottom - top) * v
}

/// Pixels in 0 to 1, row by row.
pub struct Canvas {
    pub width: usize,
    pub height: usize,
    pixels: Vec<Colour>,
}

impl Canvas {
    /// A canvas covered by a texture.
    pub fn new(width: usize, height: usize, background: &Texture) -> Self {
        let at = |k: usize| {
            let (x, y) = (k % width, k / width);
            background.at([(x as f32 + 0.5) / width as f32, (y as f32 + 0.5) / height as f32])
        };
        Self { width, height, pixels: (0..width * height).map(at).collect() }
    }

    /// Covers every pixel within `reach` of `centre` by as much of it as lies inside; `distance` is signed, in pixels.
    pub fn fill(
        &mut self,
        centre: [f32; 2],
        reach: f32,
        texture: &Texture,
        distance: impl Fn([f32; 2]) -> f32,
    ) {
        let span = |c: f32, end: usize| {
            let low = (c - reach - 1.0).max(0.0) as usize;
            low.min(end)..((c + reach + 2.0).max(0.0) as usize).min(end)
        };
        for y in span(centre[1], self.height) {
            for x in span(centre[0], self.width) {
                let p = [x as f32 + 0.5, y as f32 + 0.5];
                // Across one pixel the edge is nearly straight: the distance says how much of the pixel it leaves.
                let cover = (0.5 - distance(p)).clamp(0.0, 1.0);
                if cover > 0.0 {
                    let colour = texture.at([p[0] / self.width as f32, p[1] / self.height as f32]);
                    let pixel = &mut self.pixels[y * self.width + x];
                    *pixel = mix(*pixel, colour, cover);
                }
            }
        }
    }

    /// Eight-bit RGB with normal noise of this standard deviation, independent per pixel and channel.
    pub fn into_rgb(self, noise: f32, rng: &mut ChaCha8Rng) -> Vec<u8> {
        let mut byte = |v: f32| {
            // The sum of four uniforms is close enough to normal; its variance is 1/3.
            let uniform: f32 = (0..4).map(|_| rng.random::<f32>()).sum();
            let normal = (uniform - 2.0) * 3f32.sqrt();
            ((v + noise * normal) * 255.0 + 0.5).clamp(0.0, 255.0) as u8
        };
        self.pixels.iter().flatten().map(|v| byte(*v)).collect()
    }
}
