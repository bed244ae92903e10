//! Systems are compared as sacrebleu 2.6.0 does (numpy 2.4.6), and as counting all samples by hand does.

use nmt::score::{Comparison, Metric, Options, Resampling, System, Test, compare, score};

const REFERENCES: [&str; 8] = [
    "The grey heron stood in the shallow water.",
    "Two boats were tied to the old pier.",
    "Nobody had seen the key since Monday.",
    "She counted nine apples, and then ten.",
    "Rain fell on the tin roof all night.",
    "The clock in the hall is always late.",
    "He sold his bicycle to a neighbour.",
    "Our train leaves at half past six.",
];
const BASELINE: [&str; 8] = [
    "The gray heron stood in shallow water.",
    "Two boats were tied to the pier.",
    "Nobody had seen the key since Monday.",
    "She counted nine apples and ten.",
    "Rain fell on the roof all night.",
    "The clock in the hall is always late.",
    "He sold the bicycle to a neighbour.",
    "The train leaves at six.",
];
const OTHER: [&str; 8] = [
    "The grey heron stood in the water.",
    "Two boats were tied to an old pier.",
    "Nobody saw the key since Monday.",
    "She counted nine apples, and then ten.",
    "Rain fell on the tin roof in the night.",
    "The hall clock is late.",
    "He sold his bicycle to a neighbour.",
    "Our train leaves at half past six.",
];

fn lines(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| line.to_string()).collect()
}

fn systems(n: usize) -> [System; 2] {
    [("baseline", &BASELINE[..n]), ("other", &OTHER[..n])]
        .map(|(name, text)| System { name: name.to_string(), lines: lines(text) })
}

fn compared(n: usize, test: Test, samples: usize) -> Vec<Comparison> {
    let resampling = Resampling { test, samples, seed: 12345 };
    compare(&systems(n), &[lines(&REFERENCES[..n])], &Options::default(), &resampling).unwrap()
}

/// Oracle: `PairedTest` of sacrebleu. Means and intervals are those of its single precision; p-values are equal.
#[test]
fn the_samples_are_those_of_sacrebleu() {
    // Of each metric: mean and half width of the baseline, the same of the other system; p of bootstrap, p of
    // randomization; the name.
    let expected = [
        (
            "BLEU",
            [62.14499586975996, 19.208336580057463, 70.61935669110693, 18.713599625841024],
            0.23076923076923078,
            0.6432356764323568,
        ),
        ("chrF2", [80.25698, 9.604076, 80.44728, 12.732372], 0.4085914085914086, 0.9837016298370163),
        ("chrF2++", [80.14472, 9.725555, 80.85283, 12.655525], 0.38161838161838163, 0.922107789221078),
        ("TER", [16.565788, 9.301076, 16.666233, 11.88455], 0.46853146853146854, 0.8793120687931207),
    ];
    let (bootstrap, randomization) = (compared(8, Test::Bootstrap, 1000), compared(8, Test::Randomization, 10_000));
    assert_eq!(bootstrap.len(), expected.len());
    for ((bootstrap, randomization), (name, intervals, p_bootstrap, p_randomization)) in
        bootstrap.iter().zip(&randomization).zip(expected)
    {
        assert_eq!((bootstrap.name.as_str(), randomization.name.as_str()), (name, name));
        let found = bootstrap.systems.iter().filter_map(|system| system.bootstrap);
        let found: Vec<f64> = found.flat_map(|interval| [interval.mean, interval.half_width]).collect();
        assert_eq!(found.len(), intervals.len());
        for (found, expected) in found.iter().zip(intervals) {
            assert!((found - expected).abs() < 3e-5, "{name}: {found} is not {expected}");
        }
        let p = |comparison: &Comparison| comparison.systems[1].against_baseline.unwrap().p_value;
        assert!((p(bootstrap) - p_bootstrap).abs() < 1e-12, "{name}: {}", p(bootstrap));
        assert!((p(randomization) - p_randomization).abs() < 1e-12, "{name}: {}", p(randomization));
        assert!(bootstrap.signature.contains("|bs:1000|seed:12345|"), "{}", bootstrap.signature);
        assert!(randomization.signature.contains("|ar:10000|seed:12345|"), "{}", randomization.signature);
    }
}

/// Four segments: 256 equally likely samples with replacement, each scored as a text of its own.
#[test]
fn the_bootstrap_agrees_with_all_samples() {
    let n: usize = 4;
    let all: Vec<[Vec<f64>; 2]> = (0..n.pow(4))
        .map(|sample| {
            let drawn: Vec<usize> = (0..4).map(|place| sample / n.pow(place) % n).collect();
            [&BASELINE, &OTHER].map(|system| scores(&pick(system, &drawn), &pick(&REFERENCES, &drawn)))
        })
        .collect();
    let samples = 20_000;
    for (m, comparison) in compared(n, Test::Bootstrap, samples).iter().enumerate() {
        let column = |system: usize| all.iter().map(|sample| sample[system][m]).collect::<Vec<f64>>();
        let (baseline, other) = (column(0), column(1));
        for (system, exact) in comparison.systems.iter().zip([&baseline, &other]) {
            let (mean, deviation) = moments(exact);
            let found = system.bootstrap.unwrap().mean;
            let error = deviation / (samples as f64).sqrt();
            assert!((found - mean).abs() < 5.0 * error, "{}: {found} is not {mean} ± {error}", comparison.name);
        }
        let differences: Vec<f64> = other.iter().zip(&baseline).map(|(other, baseline)| other - baseline).collect();
        let found = comparison.systems[1].against_baseline.unwrap();
        assert_share(found.share_above.unwrap(), share(&differences, |difference| difference > 0.0), samples);
        let sizes: Vec<f64> = differences.iter().map(|difference| difference.abs()).collect();
        // The centre is that of the samples drawn: sizes as far from it as its error are counted or not by chance.
        let (centre, deviation) = moments(&sizes);
        let error = 5.0 * deviation / (samples as f64).sqrt();
        let beyond = |by: f64| share(&sizes, |size| size - centre > found.difference.abs() + by);
        let (fewest, most) = (beyond(error), beyond(-error));
        let tolerance = 5.0 * (0.25 / samples as f64).sqrt();
        assert!(
            (fewest - tolerance..=most + tolerance).contains(&found.p_value) && most - fewest < 0.2,
            "{}: {} is not within {fewest} to {most}",
            comparison.name,
            found.p_value
        );
    }
}

/// Four segments: 16 equally likely ways to swap them, each scored as two texts of their own.
#[test]
fn randomization_agrees_with_all_swaps() {
    let n = 4;
    let references = lines(&REFERENCES[..n]);
    let samples = 20_000;
    let found = compared(n, Test::Randomization, samples);
    let swaps: Vec<Vec<f64>> = (0..1 << n)
        .map(|swap| {
            let side = |flip: usize| {
                let line = |i: usize| if (swap >> i & 1) == flip { BASELINE[i] } else { OTHER[i] };
                scores(&(0..n).map(|i| line(i).to_string()).collect::<Vec<_>>(), &references)
            };
            side(0).iter().zip(side(1)).map(|(one, two)| (one - two).abs()).collect()
        })
        .collect();
    for (m, comparison) in found.iter().enumerate() {
        let sizes: Vec<f64> = swaps.iter().map(|swap| swap[m]).collect();
        let against = comparison.systems[1].against_baseline.unwrap();
        // No swap and all swapped give the observed difference, which is not above itself.
        assert_share(against.p_value, share(&sizes, |size| size > against.difference.abs() + 1e-9), samples);
        assert!(against.share_above.is_none() && comparison.systems[1].bootstrap.is_none());
    }
}

/// sacrebleu gives the least p-value there is to a system that is compared with itself.
#[test]
fn a_system_does_not_differ_from_itself() {
    let twice = [systems(8)[0].clone(), systems(8)[0].clone()];
    for test in [Test::Bootstrap, Test::Randomization] {
        let resampling = Resampling { test, samples: 100, seed: 1 };
        for comparison in compare(&twice, &[lines(&REFERENCES)], &Options::default(), &resampling).unwrap() {
            let against = comparison.systems[1].against_baseline.unwrap();
            assert_eq!((against.difference, against.p_value), (0.0, 1.0), "{}", comparison.name);
        }
    }
}

/// 256 segments, of which the other system has one wrong word in every eighth and the baseline in every other.
#[test]
fn a_clear_difference_is_significant() {
    let references: Vec<String> = (0..256).map(|i| format!("the number of this line is {i} of all")).collect();
    let damaged = |every: usize| -> Vec<String> {
        references
            .iter()
            .enumerate()
            .map(|(i, line)| if i % every == 0 { line.replace("is", "x") } else { line.clone() })
            .collect()
    };
    let systems =
        [("bad", 2), ("good", 8)].map(|(name, every)| System { name: name.to_string(), lines: damaged(every) });
    let options = Options { metrics: vec![Metric::Bleu], ..Options::default() };
    for test in [Test::Bootstrap, Test::Randomization] {
        let resampling = Resampling { test, samples: 999, seed: 12345 };
        let found = compare(&systems, std::slice::from_ref(&references), &options, &resampling).unwrap();
        assert_eq!(found[0].systems[1].against_baseline.unwrap().p_value, 0.001);
    }
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let message = |systems: &[System], references: &[Vec<String>], samples: usize| {
        let resampling = Resampling { test: Test::Bootstrap, samples, seed: 1 };
        compare(systems, references, &Options::default(), &resampling).unwrap_err().to_string()
    };
    let references = [lines(&REFERENCES)];
    assert!(message(&systems(8)[..1], &references, 10).contains("two or more systems to compare, found 1"));
    assert!(message(&systems(8), &references, 0).contains("at least one sample"));
    assert!(message(&systems(7), &references, 10).contains("found 8 lines"));
}

/// BLEU, chrF2, chrF2++ and TER, in this order.
fn scores(hypotheses: &[String], references: &[String]) -> Vec<f64> {
    let scores = score(hypotheses, &[references.to_vec()], &Options::default()).unwrap();
    vec![
        scores.bleu.unwrap().score,
        scores.chrf.unwrap().score,
        scores.chrf_plus_plus.unwrap().score,
        scores.ter.unwrap().score,
    ]
}

fn pick(text: &[&str], drawn: &[usize]) -> Vec<String> {
    drawn.iter().map(|&i| text[i].to_string()).collect()
}

fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt())
}

fn share(values: &[f64], counts: impl Fn(f64) -> bool) -> f64 {
    values.iter().filter(|&&value| counts(value)).count() as f64 / values.len() as f64
}

/// Within five standard errors of a share of so many samples, and the one that is added to both counts.
fn assert_share(found: f64, exact: f64, samples: usize) {
    let n = samples as f64;
    let tolerance = 5.0 * (exact * (1.0 - exact) / n).sqrt() + 2.0 / n;
    assert!((found - exact).abs() <= tolerance, "{found} is not {exact} ± {tolerance}");
}
