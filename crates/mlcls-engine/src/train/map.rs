//! What lies where in a training plan's arena, for people to read.

use super::kind::ArenaKind;
use super::places::Places;
use crate::graph::Shape;
use crate::profile::StageProfile;
use crate::program::{Program, Stage};

/// One value or gradient with its place and its life; moments are counted as [`ArenaMap::stages`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct ArenaPiece {
    /// timm's name of the node whose output it is, or the operation where timm has none, for example
    /// `add of blocks.1.1.conv_pwl`.
    pub name: String,
    /// [`ArenaKind::Value`] or [`ArenaKind::Gradient`].
    pub kind: ArenaKind,
    /// Shape for one image.
    pub shape: Shape,
    /// Where it starts, in bytes from the arena's start.
    pub offset: usize,
    /// Bytes for the largest batch.
    pub bytes: usize,
    /// Moment at which it is first written.
    pub first: usize,
    /// Moment at which it is last read.
    pub last: usize,
}

/// What lies in a training plan's arena; see [`TrainPlan::arena_map`](crate::TrainPlan::arena_map).
///
/// Values and gradients share the first [`shared_bytes`](Self::shared_bytes): a place is given again as soon as its last
/// reader is done. Everything behind them has a place of its own during the whole step.
#[derive(Clone, Debug, PartialEq)]
pub struct ArenaMap {
    /// Bytes of the arena.
    pub bytes: usize,
    /// Bytes that values and gradients take together.
    pub shared_bytes: usize,
    /// Bytes of each kind. Values and gradients are counted as if none of them shared memory.
    pub kinds: Vec<(ArenaKind, usize)>,
    /// Values and gradients, by offset and then by the start of their life.
    pub pieces: Vec<ArenaPiece>,
    /// Names of the stages in the order of the forward pass. A step has two moments per stage: moment `t` is the forward
    /// pass of stage `t`, and from `stages.len()` on the backward pass of stage `2 * stages.len() - 1 - t`.
    pub stages: Vec<String>,
}

impl ArenaMap {
    pub(super) fn new(program: &Program, places: &Places, stages: &[StageProfile]) -> Self {
        // A net has many sums; they are told apart by what they add to the shortcut.
        let name = |(stage, profile): (&Stage, &StageProfile)| match stage {
            Stage::Add(add) => format!("add of {}", stages[program.values[add.branch.value].producer].name),
            _ => profile.name.clone(),
        };
        let names: Vec<String> = program.stages.iter().zip(stages).map(name).collect();
        let piece = |(i, wish): (usize, &crate::arena::Wish)| {
            let value = &program.values[i / 2];
            let (kind, at) = match i % 2 {
                0 => (ArenaKind::Value, places.values[i / 2]),
                _ => (ArenaKind::Gradient, places.grads[i / 2]),
            };
            ArenaPiece {
                name: names[value.producer].clone(),
                kind,
                shape: value.shape,
                offset: 4 * at,
                bytes: 4 * wish.len,
                first: wish.from,
                last: wish.to,
            }
        };
        let mut pieces: Vec<_> = places.wishes.iter().enumerate().map(piece).collect();
        pieces.sort_by_key(|p| (p.offset, p.first));
        Self {
            bytes: 4 * places.total,
            shared_bytes: 4 * places.shared,
            kinds: ArenaKind::ALL.iter().map(|&kind| (kind, 4 * places.taken[kind as usize])).collect(),
            pieces,
            stages: names,
        }
    }

    /// Bytes that values and gradients would take if none shared memory with another.
    pub fn bytes_without_reuse(&self) -> usize {
        self.kinds.iter().filter(|(kind, _)| kind.is_shared()).map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of the values and gradients that live at a moment.
    pub fn living_bytes(&self, moment: usize) -> usize {
        self.living(moment).map(|p| p.bytes).sum()
    }

    /// Values and gradients that live at a moment, by offset.
    pub fn living(&self, moment: usize) -> impl Iterator<Item = &ArenaPiece> {
        self.pieces.iter().filter(move |p| (p.first..=p.last).contains(&moment))
    }

    /// The first moment at which most bytes of values and gradients live, and how many they are. No order of places could
    /// need less than that for [`shared_bytes`](Self::shared_bytes).
    pub fn peak(&self) -> (usize, usize) {
        let moments = (0..2 * self.stages.len()).map(|t| (t, self.living_bytes(t)));
        moments.fold((0, 0), |most, now| if now.1 > most.1 { now } else { most })
    }

    /// A moment's name, for example `backward conv_stem`.
    pub fn moment_name(&self, moment: usize) -> String {
        let stages = self.stages.len();
        if moment < stages {
            format!("forward {}", self.stages[moment])
        } else {
            format!("backward {}", self.stages[2 * stages - 1 - moment])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::Activation;
    use crate::train::TrainPlan;
    use crate::train::tests::zoo;

    fn map(batch: usize) -> (ArenaMap, usize) {
        let graph = zoo(32, Activation::Silu, 3, crate::Padding::Symmetric);
        let plan = TrainPlan::new(&graph, batch).unwrap();
        (plan.arena_map(), plan.arena_bytes())
    }

    #[test]
    fn the_kinds_add_up_to_the_arena() {
        for batch in [1, 3, 16] {
            let (map, bytes) = map(batch);
            let own: usize = map.kinds.iter().filter(|(k, _)| !k.is_shared()).map(|(_, b)| b).sum();
            assert_eq!((map.bytes, map.shared_bytes + own), (bytes, bytes));
            for (kind, bytes) in &map.kinds {
                assert!(*bytes > 0 || *kind == ArenaKind::WholeInput, "{kind:?} is missing");
            }
        }
    }

    #[test]
    fn pieces_that_live_together_lie_apart_below_the_shared_end() {
        let (map, _) = map(4);
        for t in 0..2 * map.stages.len() {
            let living: Vec<_> = map.living(t).collect();
            for pair in living.windows(2) {
                assert!(
                    pair[0].offset + pair[0].bytes <= pair[1].offset,
                    "{pair:?} at {}",
                    map.moment_name(t)
                );
            }
            assert!(living.last().is_none_or(|p| p.offset + p.bytes <= map.shared_bytes));
        }
        let (moment, peak) = map.peak();
        assert!(peak <= map.shared_bytes && map.shared_bytes < map.bytes_without_reuse());
        assert!(map.moment_name(moment).contains("ward "), "{}", map.moment_name(moment));
    }

    #[test]
    fn a_value_lives_from_its_forward_to_its_backward_pass() {
        let (map, _) = map(1);
        let value = map.pieces.iter().find(|p| p.name == "stem" && p.kind == ArenaKind::Value).unwrap();
        assert_eq!((value.shape, value.bytes), (Shape::new(16, 16, 12), 4 * 16 * 16 * 12));
        assert_eq!(map.moment_name(value.first), "forward stem");
        assert_eq!(map.moment_name(value.last), "backward stem");
        let gradient = map.pieces.iter().find(|p| p.name == "stem" && p.kind == ArenaKind::Gradient).unwrap();
        // The add is the last to read the stem's value, so it gives back gradient first.
        assert_eq!(map.moment_name(gradient.first), "backward add of pw0");
    }
}
