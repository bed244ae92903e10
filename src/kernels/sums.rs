//! Column sums: the gradient of a bias.

use tch::Tensor;

use super::element::{Element, by_kind, elements, elements_mut};
use super::threads::{Disjoint, PARTS, parallel, part_of};
use super::vector::vectorised;

/// Add the sum of the rows of `x` `[N, width]` to `onto` (`[width]`, fp32).
pub fn column_sums(x: &Tensor, onto: &mut Tensor) {
    by_kind!(x, add_rows(x, onto));
}

fn add_rows<E: Element>(x: &Tensor, onto: &mut Tensor) {
    let (n, width) = (x.size()[0] as usize, x.size()[1] as usize);
    let x = elements::<E>(x);
    let mut partial = vec![0f32; PARTS * width];
    let partials = Disjoint::new(&mut partial);
    parallel(PARTS, |part| {
        let rows = part_of(n, PARTS, part);
        // SAFETY: every part has sums of its own.
        let sums = unsafe { partials.range(part * width..(part + 1) * width) };
        sum_rows::<E>(&x[rows.start * width..rows.end * width], sums);
    });
    let onto = elements_mut::<f32>(onto);
    for part in partial.chunks_exact(width.max(1)) {
        onto.iter_mut().zip(part).for_each(|(onto, part)| *onto += part);
    }
}

vectorised! {
    fn sum_rows<E>(x: &[E], sums: &mut [f32]) {
        for row in x.chunks_exact(sums.len().max(1)) {
            for (sum, x) in sums.iter_mut().zip(row) {
                *sum += x.to_f32();
            }
        }
    }
}
