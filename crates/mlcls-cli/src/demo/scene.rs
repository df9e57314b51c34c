//! One drawn scene: which shapes, where, how large, over what and under what.
//!
//! A label has its form and a range of hues, which overlaps its neighbours' ranges; size, place, texture and background say
//! nothing about it. Shapes may cover one another and leave the frame, but enough of each stays visible that its label is
//! right.

use std::f32::consts::TAU;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::paint::{Canvas, Colour, Texture, hsv, most_unlike, near};
use super::shape::{Shape, bar};

/// Share of each shape that stays visible.
const VISIBLE: f32 = 0.65;

/// How far a shape's hue may lie from its typical one, as a share of the colour circle; typical hues are 1/6 apart.
const HUES: f32 = 0.1;

/// What a figure's edge looks like.
#[derive(Clone, Copy, Debug)]
enum Outline {
    Shape(Shape),
    /// A long thin bar: it hides things and has no label. Half its width, in units of its half length.
    Bar(f32),
}

impl Outline {
    /// A random colour: of the shape's hues, or greyish for a bar.
    fn colour(self, rng: &mut ChaCha8Rng) -> Colour {
        match self {
            Self::Shape(shape) => {
                let hue = shape.hue() + rng.random_range(-HUES..HUES);
                hsv(hue, rng.random_range(0.55..1.0), rng.random_range(0.45..1.0))
            }
            Self::Bar(_) => hsv(rng.random(), rng.random_range(0.0..0.2), rng.random()),
        }
    }
}

/// Something drawn: lengths in pixels.
#[derive(Clone, Debug)]
struct Figure {
    outline: Outline,
    centre: [f32; 2],
    radius: f32,
    angle: f32,
    texture: Texture,
}

impl Figure {
    fn distance(&self, p: [f32; 2]) -> f32 {
        let (sin, cos) = self.angle.sin_cos();
        let (x, y) = ((p[0] - self.centre[0]) / self.radius, (p[1] - self.centre[1]) / self.radius);
        let local = [cos * x + sin * y, cos * y - sin * x];
        let distance = match self.outline {
            Outline::Shape(shape) => shape.distance(local),
            Outline::Bar(half_width) => bar(local, 1.0, half_width),
        };
        distance * self.radius
    }

    fn reach(&self) -> f32 {
        self.radius * Shape::REACH
    }
}

/// A scene as data; the same seed gives the same scene.
#[derive(Clone, Debug)]
pub struct Scene {
    width: usize,
    height: usize,
    background: Texture,
    /// From the bottom to the top.
    figures: Vec<Figure>,
    noise: f32,
}

impl Scene {
    /// A random scene with sides of about `side` pixels.
    pub fn random(side: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut around = || (side as f32 * rng.random_range(0.85..1.15)) as usize;
        let (width, height) = (around(), around());
        let base = hsv(rng.random(), rng.random_range(0.0..0.45), rng.random());
        let background = Texture::random([base, near(base, 0.3, rng)], rng);
        let noise = rng.random_range(0.0..0.06);
        let mut scene = Self { width, height, background, figures: Vec::new(), noise };

        let mut shapes = Shape::ALL;
        shapes.shuffle(rng);
        for shape in &shapes[..label_count(rng)] {
            let copies = if rng.random_bool(0.25) { 2 } else { 1 };
            for _ in 0..copies {
                scene.place(Outline::Shape(*shape), rng);
            }
        }
        for _ in 0..rng.random_range(0..3) {
            let half_width = rng.random_range(0.03..0.06);
            scene.place(Outline::Bar(half_width), rng);
        }
        scene
    }

    /// Whether each of [`Shape::ALL`] is in the scene.
    pub fn labels(&self) -> [bool; 6] {
        let shown =
            |s: &Shape| self.figures.iter().any(|f| matches!(f.outline, Outline::Shape(x) if x == *s));
        Shape::ALL.each_ref().map(shown)
    }

    /// Width, height and eight-bit RGB.
    pub fn render(&self, rng: &mut ChaCha8Rng) -> (usize, usize, Vec<u8>) {
        let mut canvas = Canvas::new(self.width, self.height, &self.background);
        for figure in &self.figures {
            canvas.fill(figure.centre, figure.reach(), &figure.texture, |p| figure.distance(p));
        }
        (self.width, self.height, canvas.into_rgb(self.noise, rng))
    }

    /// Puts a figure on top where it hides too little of the others to matter. After thirty misses the scene is full, and
    /// stays as it is.
    fn place(&mut self, outline: Outline, rng: &mut ChaCha8Rng) {
        let short = self.width.min(self.height) as f32;
        for _ in 0..30 {
            let size = match outline {
                Outline::Shape(_) => rng.random_range(0.15..0.28),
                Outline::Bar(_) => rng.random_range(0.3..0.7),
            };
            let mut along = |side: usize| side as f32 * rng.random_range(0.04..0.96);
            let centre = [along(self.width), along(self.height)];
            let others: Vec<Colour> = self
                .figures
                .iter()
                .map(|f| &f.texture)
                .chain([&self.background])
                .flat_map(Texture::colours)
                .collect();
            let colour = most_unlike(&others, std::array::from_fn(|_| outline.colour(rng)));
            let texture = Texture::random([colour, near(colour, 0.12, rng)], rng);
            let angle = rng.random_range(0.0..TAU);
            self.figures.push(Figure { outline, centre, radius: size * short, angle, texture });
            if (0..self.figures.len()).all(|i| self.visible(i) >= VISIBLE) {
                return;
            }
            self.figures.pop();
        }
    }

    /// Share of a shape that lies inside the frame and under nothing, from a grid of points; 1 for a bar.
    fn visible(&self, index: usize) -> f32 {
        const GRID: usize = 20;
        let figure = &self.figures[index];
        if matches!(figure.outline, Outline::Bar(_)) {
            return 1.0;
        }
        let step = 2.0 * figure.reach() / GRID as f32;
        let at = |i: usize, c: f32| c - figure.reach() + (i as f32 + 0.5) * step;
        let (mut whole, mut seen) = (0, 0);
        for k in 0..GRID * GRID {
            let p = [at(k % GRID, figure.centre[0]), at(k / GRID, figure.centre[1])];
            if figure.distance(p) < 0.0 {
                whole += 1;
                let framed =
                    p[0] >= 0.0 && p[1] >= 0.0 && p[0] < self.width as f32 && p[1] < self.height as f32;
                let covered = self.figures[index + 1..].iter().any(|f| f.distance(p) < 0.0);
                seen += usize::from(framed && !covered);
            }
        }
        seen as f32 / whole.max(1) as f32
    }
}

/// How many labels a scene gets: none in one scene out of ten, else one to three.
fn label_count(rng: &mut ChaCha8Rng) -> usize {
    match rng.random_range(0..20) {
        0..2 => 0,
        2..8 => 1,
        8..15 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn scenes(count: u64) -> impl Iterator<Item = Scene> {
        (0..count).map(|seed| Scene::random(96, &mut ChaCha8Rng::seed_from_u64(seed)))
    }

    #[test]
    fn the_same_seed_draws_the_same_pixels() {
        let draw = |seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Scene::random(48, &mut rng).render(&mut rng)
        };
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn one_scene_in_ten_is_empty_and_labels_are_balanced() {
        let labels: Vec<_> = scenes(2000).map(|s| s.labels()).collect();
        let empty = labels.iter().filter(|l| !l.contains(&true)).count() as f64 / 2000.0;
        assert!((0.07..0.13).contains(&empty), "{empty} of the scenes are empty");
        for class in 0..6 {
            let share = labels.iter().filter(|l| l[class]).count() as f64 / 2000.0;
            assert!((0.25..0.36).contains(&share), "{share} of the scenes have label {class}");
        }
    }

    #[test]
    fn every_label_can_be_seen() {
        for scene in scenes(300) {
            for i in 0..scene.figures.len() {
                assert!(scene.visible(i) >= VISIBLE);
            }
        }
    }

    #[test]
    fn a_figure_changes_the_pixels_that_it_covers() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut scene = Scene::random(64, &mut rng);
        scene.figures.clear();
        scene.noise = 0.0;
        let (width, _, empty) = scene.render(&mut rng);
        scene.place(Outline::Shape(Shape::Cross), &mut rng);
        let (_, _, drawn) = scene.render(&mut rng);
        let figure = &scene.figures[0];
        for (k, (a, b)) in empty.chunks(3).zip(drawn.chunks(3)).enumerate() {
            let d = figure.distance([(k % width) as f32 + 0.5, (k / width) as f32 + 0.5]);
            if d > 1.0 {
                assert_eq!(a, b, "a pixel {d} outside the cross changed");
            } else if d < -1.0 {
                assert_ne!(a, b, "a pixel {d} inside the cross kept the background");
            }
        }
    }
}
