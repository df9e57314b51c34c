//! Which layers to leave in float.

/// What [`search`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// For each layer whether it stays in float.
    pub float: Vec<bool>,
    /// The score of that choice; `None` where every layer stays in float, which is not tried out.
    pub score: Option<f64>,
    /// Choices that were tried out.
    pub tried: usize,
}

/// Leaves as few layers in float as are needed for a score of at least `floor`, the most sensitive first.
///
/// The number is found by doubling and then halving, so that few choices are tried out. `sensitivities` is asked only where
/// not all layers can be quantised; it says for each layer what quantising it alone does.
///
/// # Errors
/// Those of `sensitivities` and `score`.
///
/// ```
/// use mlcls_export::int8::search;
///
/// // Layer 1 costs 3 points, the others 0.1 each.
/// let costs = [0.1, 3.0, 0.1];
/// let score = |float: &[bool]| {
///     let lost = costs.iter().zip(float).filter(|(_, float)| !**float).map(|(cost, _)| cost);
///     Ok::<f64, std::convert::Infallible>(60.0 - lost.sum::<f64>())
/// };
/// let kept = search(3, 59.0, || Ok(costs.to_vec()), score)?;
/// assert_eq!(kept.float, [false, true, false]);
/// # Ok::<(), std::convert::Infallible>(())
/// ```
pub fn search<E>(
    layers: usize,
    floor: f64,
    sensitivities: impl FnOnce() -> Result<Vec<f64>, E>,
    mut score: impl FnMut(&[bool]) -> Result<f64, E>,
) -> Result<Kept, E> {
    let all = score(&vec![false; layers])?;
    if all >= floor {
        return Ok(Kept { float: vec![false; layers], score: Some(all), tried: 1 });
    }
    let sensitivities = sensitivities()?;
    let mut order: Vec<usize> = (0..layers).collect();
    order.sort_by(|&a, &b| sensitivities[b].total_cmp(&sensitivities[a]));
    let choice = |count: usize| {
        let mut float = vec![false; layers];
        order[..count].iter().for_each(|&layer| float[layer] = true);
        float
    };
    // So many are too few, so many are enough.
    let (mut few, mut enough) = (0, Kept { float: choice(layers), score: None, tried: 1 });
    let (mut count, mut most) = (1, layers);
    while count < most {
        let found = score(&choice(count))?;
        enough.tried += 1;
        if found >= floor {
            most = count;
            enough = Kept { float: choice(count), score: Some(found), ..enough };
        } else {
            few = count;
        }
        count = if enough.score.is_none() && 2 * few < most { 2 * few } else { few.midpoint(most) };
        if count == few {
            break;
        }
    }
    Ok(enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(costs: &[f64], floor: f64) -> Kept {
        let score = |float: &[bool]| {
            let lost = costs.iter().zip(float).filter(|(_, float)| !**float).map(|(cost, _)| cost);
            Ok::<f64, ()>(-lost.sum::<f64>())
        };
        search(costs.len(), floor, || Ok(costs.to_vec()), score).unwrap()
    }

    #[test]
    fn the_fewest_of_the_most_sensitive_stay_in_float() {
        for layers in 0..40 {
            let costs: Vec<f64> = (0..layers).map(|i| f64::from((i * 7 + 3) % 41 + 1)).collect();
            let mut sorted = costs.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for needed in 0..=layers as usize {
                let floor = -sorted[needed..].iter().sum::<f64>();
                let kept = run(&costs, floor);
                let count = kept.float.iter().filter(|&&float| float).count();
                assert_eq!(count, needed, "of {layers}: {kept:?}");
                let dearest = costs.iter().zip(&kept.float).filter(|(_, f)| **f).map(|(c, _)| *c);
                assert_eq!(dearest.sum::<f64>(), sorted[..needed].iter().sum::<f64>());
                assert_eq!(kept.score.is_none(), needed == layers as usize && layers > 0, "{kept:?}");
                assert!(kept.tried <= 12, "{kept:?}");
            }
        }
    }

    #[test]
    fn a_score_out_of_reach_leaves_everything_in_float() {
        let kept = run(&[1.0, 2.0, 3.0], 1.0);
        assert_eq!((kept.float, kept.score), (vec![true; 3], None));
    }
}
