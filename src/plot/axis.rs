//! Axes with ticks at round numbers.

use std::ops::Range;

use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};

/// A quantity along one side of a panel.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What is drawn, with its unit.
    pub label: String,
    /// The ends of the axis, in values.
    pub low: f64,
    /// See `low`.
    pub high: f64,
    /// The values that are labelled.
    pub ticks: Vec<f64>,
    logarithmic: bool,
}

/// About how many ticks an axis has.
const TICKS: f64 = 6.0;

/// What ends a logarithmic axis of less than a factor of 4.
const CLOSE_FACTORS: [f64; 10] = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];

impl Axis {
    /// An axis in even steps that holds `low` and `high` and ends on ticks.
    pub fn linear(label: &str, low: f64, high: f64) -> Axis {
        let (low, high) = widened(low, high);
        let step = round_step((high - low) / TICKS);
        let (first, last) = ((low / step).floor(), (high / step).ceil());
        let count = (last - first).round() as usize;
        // Multiples of the step, not sums of it: 0.3 has to stay 0.3.
        let ticks: Vec<f64> = (0..=count).map(|index| round_multiple(first + index as f64, step)).collect();
        Axis { label: label.to_owned(), low: first * step, high: last * step, ticks, logarithmic: false }
    }

    /// An axis whose low end is the smallest value, with no room before it.
    pub fn starting_at(label: &str, low: f64, high: f64) -> Axis {
        let axis = Axis::linear(label, low, high);
        let ticks = axis.ticks.into_iter().filter(|&tick| (low..=high.max(low)).contains(&tick)).collect();
        Axis { low, high: if high > low { high } else { axis.high }, ticks, ..axis }
    }

    /// An axis of the numbers 1 to `count`, with half a step of room on both sides.
    pub fn counting(label: &str, count: usize) -> Axis {
        let step = [1, 2, 5, 10, 20, 50].into_iter().find(|step| count / step <= 9).unwrap_or(count / 9 + 1);
        let ticks = (1..=count).filter(|number| number % step == 0).map(|number| number as f64).collect();
        Axis { label: label.to_owned(), low: 0.5, high: count.max(1) as f64 + 0.5, ticks, logarithmic: false }
    }

    /// An axis in even factors that ends on 1, 2 or 5 times a power of ten, or on a number between them where the values
    /// lie close together; `low` has to be above 0.
    pub fn logarithmic(label: &str, low: f64, high: f64) -> Axis {
        let (low, high) = (low.clamp(1e-300, 1e300), high.clamp(1e-300, 1e300));
        let factors: &[f64] = if high / low < 4.0 { &CLOSE_FACTORS } else { &[1.0, 2.0, 5.0] };
        let (first, last) = (low.log10().floor() as i32, high.max(low).log10().ceil() as i32);
        let marks: Vec<f64> = (first..=last + 1)
            .flat_map(|exponent| factors.iter().map(move |&factor| round_multiple(factor, 10f64.powi(exponent))))
            .collect();
        let start = marks.iter().rposition(|&mark| mark <= low * 1.000_001).unwrap_or(0);
        let end = marks.iter().position(|&mark| mark >= high * 0.999_999).unwrap_or(marks.len() - 1).max(start + 1);
        let mut ticks = marks[start..=end].to_vec();
        if ticks.len() > 9 {
            let every = (last - first) / 8 + 1;
            let power = |tick: f64| tick.log10().round() as i32;
            ticks.retain(|&tick| (tick / 10f64.powi(power(tick)) - 1.0).abs() < 1e-6 && power(tick) % every == 0);
        }
        Axis { label: label.to_owned(), low: marks[start], high: marks[end], ticks, logarithmic: true }
    }

    /// Where a value lies, from 0 at the low end to 1 at the high one; values beyond the ends lie on them.
    fn position(&self, value: f64) -> f64 {
        let scale = |value: f64| if self.logarithmic { value.log10() } else { value };
        let (low, high) = (scale(self.low), scale(self.high));
        (scale(value.clamp(self.low, self.high)) - low) / (high - low)
    }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (start, end): (i32, i32)) -> i32 {
        start + (f64::from(end - start) * self.position(*value)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() { Vec::new() } else { self.ticks.clone() }
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

/// Some room where there is but one value.
fn widened(low: f64, high: f64) -> (f64, f64) {
    // Far from the largest number, so that no width and no tick overflows.
    let (low, high) = (low.min(high).clamp(-1e300, 1e300), low.max(high).clamp(-1e300, 1e300));
    let size = low.abs().max(high.abs());
    if high - low > (size * 1e-9).max(1e-290) {
        return (low, high);
    }
    let room = if size < 1e-290 { 1.0 } else { size * 0.05 };
    (low - room, high + room)
}

/// The smallest of 1, 2, 2.5 and 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0].into_iter().find(|factor| factor * power >= step * 0.999_999);
    factor.unwrap_or(10.0) * power
}

fn round_multiple(count: f64, step: f64) -> f64 {
    // 12 digits are more than any tick shows, and fewer than rounding errors spoil.
    format!("{:.12e}", count * step).parse().unwrap_or(count * step)
}

/// A number as short as it can be read: thousands in groups, tiny ones with a power of ten.
pub fn number_text(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{:e}", format!("{value:.3e}").parse().unwrap_or(value));
    }
    let rounded: f64 = format!("{value:.6e}").parse().unwrap_or(value);
    let text = rounded.abs().to_string();
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), String::new()), |(whole, fraction)| (whole, format!(".{fraction}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{}{grouped}{fraction}", if value < 0.0 { "-" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|&tick| number_text(tick)).collect()
    }

    /// Oracle: the round numbers that a person would write along these ranges.
    #[test]
    fn ticks_are_round() {
        assert_eq!(texts(&Axis::linear("", 0.0, 1500.0)), ["0", "250", "500", "750", "1,000", "1,250", "1,500"]);
        assert_eq!(texts(&Axis::linear("", 0.11, 0.62)), ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7"]);
        assert_eq!(texts(&Axis::linear("", -1.2, 1.0)), ["-1.5", "-1", "-0.5", "0", "0.5", "1"]);
        assert_eq!(texts(&Axis::logarithmic("", 2.0, 80.0)), ["2", "5", "10", "20", "50", "100"]);
        assert_eq!(texts(&Axis::logarithmic("", 0.65, 1.4)), ["0.6", "0.8", "1", "1.2", "1.5"]);
        let wide = Axis::logarithmic("", 0.03, 8000.0);
        assert_eq!((wide.low, wide.high), (0.02, 10_000.0));
        assert_eq!(texts(&wide), ["0.1", "1", "10", "100", "1,000", "10,000"]);
        assert_eq!(texts(&Axis::linear("", 2e-5, 1e-4)), ["2e-5", "4e-5", "6e-5", "8e-5", "0.0001"]);
        let updates = Axis::starting_at("", 0.0, 1430.0);
        assert_eq!((updates.low, updates.high), (0.0, 1430.0));
        assert_eq!(texts(&updates), ["0", "250", "500", "750", "1,000", "1,250"]);
    }

    #[test]
    fn things_are_counted_in_whole_numbers() {
        assert_eq!(texts(&Axis::counting("", 1)), ["1"]);
        assert_eq!(texts(&Axis::counting("", 9)).len(), 9);
        assert_eq!(texts(&Axis::counting("", 12)), ["2", "4", "6", "8", "10", "12"]);
        assert_eq!(texts(&Axis::counting("", 30)), ["5", "10", "15", "20", "25", "30"]);
        assert_eq!(texts(&Axis::counting("", 3000)).len(), 8);
        assert_eq!((Axis::counting("", 0).low, Axis::counting("", 0).high), (0.5, 1.5));
    }

    #[test]
    fn one_value_has_an_axis_around_it() {
        for value in [0.0, 3.0, -2.0, 1e-12, 1e12, 1e300, 1e-300] {
            let around = [Axis::linear("", value, value), Axis::logarithmic("", value.abs(), value.abs())];
            for axis in around {
                let value = if axis.logarithmic { value.abs() } else { value };
                assert!(axis.low < axis.high && axis.ticks.len() >= 2, "{axis:?}");
                assert!(axis.low <= value.max(1e-300) && value <= axis.high, "{axis:?}");
            }
        }
    }

    #[test]
    fn no_size_of_number_breaks_an_axis() {
        for (low, high) in [(-f64::MAX, f64::MAX), (f64::MIN_POSITIVE, f64::MAX), (0.0, 5e-324), (1.0, 1.0 + 1e-15)] {
            for axis in [Axis::linear("", low, high), Axis::logarithmic("", low, high)] {
                assert!(axis.low < axis.high && (2..=20).contains(&axis.ticks.len()), "{axis:?}");
                assert!((0.0..=1.0).contains(&axis.position(low)) && (0.0..=1.0).contains(&axis.position(high)));
            }
        }
    }

    #[test]
    fn values_beyond_the_ends_lie_on_them() {
        let axis = Axis::linear("", 0.0, 10.0);
        assert_eq!((axis.position(-5.0), axis.position(50.0), axis.position(5.0)), (0.0, 1.0, 0.5));
        let axis = Axis::logarithmic("", 1.0, 100.0);
        assert_eq!((axis.position(0.0), axis.position(10.0)), (0.0, 0.5));
        assert_eq!(axis.map(&10.0, (100, 50)), 75);
    }
}
