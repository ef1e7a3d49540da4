//! A chart of what components cost, as SVG: nanoseconds for each event, by the size of batches, both by powers of ten.

use super::measure::{Figures, Measured};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
/// Room for names and numbers.
const LEFT: f64 = 80.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 24.0;
const BOTTOM: f64 = 56.0;
/// Blue and orange, which people who see few colours tell apart.
const COLOURS: [&str; 2] = ["#0072b2", "#d55e00"];

/// One line for each component: the first, and what it is compared with.
pub fn chart(measured: &[Measured]) -> String {
    let all = || measured.iter().flat_map(|measured| &measured.figures);
    let across = Axis::over(all().map(|figures| figures.batch as f64));
    let up = Axis::over(all().map(|figures| figures.ns_per_event));
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n"
    );
    for (at, label) in across.marks() {
        let x = x(at);
        svg.push_str(&line((x, TOP), (x, HEIGHT - BOTTOM)));
        svg.push_str(&text((x, HEIGHT - BOTTOM + 18.0), "middle", &label));
    }
    for (at, label) in up.marks() {
        let y = y(at);
        svg.push_str(&line((LEFT, y), (WIDTH - RIGHT, y)));
        svg.push_str(&text((LEFT - 8.0, y + 4.0), "end", &label));
    }
    svg.push_str(&text((LEFT - 8.0, TOP - 16.0), "end", "ns/event"));
    svg.push_str(&text(((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 14.0), "middle", "events in a batch"));
    for ((measured, colour), row) in measured.iter().zip(COLOURS.iter().cycle()).zip(0..) {
        let point = |figures: &Figures| (x(across.at(figures.batch as f64)), y(up.at(figures.ns_per_event)));
        let points: Vec<(f64, f64)> = measured.figures.iter().map(point).collect();
        let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        svg.push_str(&format!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n",
            path.join(" ")
        ));
        for (x, y) in points {
            svg.push_str(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n"));
        }
        let (x, y) = (LEFT + 12.0 + 260.0 * f64::from(row), TOP - 16.0);
        svg.push_str(&format!("<circle cx=\"{x}\" cy=\"{}\" r=\"3.5\" fill=\"{colour}\"/>\n", y - 4.0));
        svg.push_str(&text((x + 10.0, y), "start", &measured.name));
    }
    svg + "</svg>\n"
}

/// From the power of ten at or below the least to the one at or above the most.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Axis {
        let powers: Vec<f64> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
        let least = powers.iter().copied().fold(f64::INFINITY, f64::min);
        let most = powers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !least.is_finite() {
            return Axis { from: 0, to: 1 };
        }
        let from = least.floor() as i32;
        Axis { from, to: (most.ceil() as i32).max(from + 1) }
    }

    /// Where a value is, from 0 to 1.
    fn at(&self, value: f64) -> f64 {
        let power = value.max(f64::MIN_POSITIVE).log10();
        ((power - f64::from(self.from)) / f64::from(self.to - self.from)).clamp(0.0, 1.0)
    }

    fn marks(&self) -> impl Iterator<Item = (f64, String)> {
        let place = |power: i32| f64::from(power - self.from) / f64::from(self.to - self.from);
        (self.from..=self.to).map(move |power| (place(power), 10f64.powi(power).to_string()))
    }
}

fn x(at: f64) -> f64 {
    LEFT + at * (WIDTH - LEFT - RIGHT)
}

fn y(at: f64) -> f64 {
    HEIGHT - BOTTOM - at * (HEIGHT - TOP - BOTTOM)
}

fn line((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>\n")
}

fn text((x, y): (f64, f64), anchor: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"#333\">{text}</text>\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_a_point_in_the_picture() {
        let figures = |batch: usize, ns_per_event: f64| Figures {
            batch,
            events_per_second: 1e9 / ns_per_event,
            ns_per_event,
            fuel_per_event: None,
            peak_memory: 0,
            refused: 0.0,
        };
        let measured = |name: &str, factor: f64| Measured {
            name: name.to_owned(),
            opening: 0.0,
            figures: vec![figures(1, 5000.0 * factor), figures(1000, 70.0 * factor)],
        };
        let svg = chart(&[measured("a & b", 1.0), measured("c", 2.0)]);
        assert!(svg.contains(">a &amp; b</text>") && svg.contains(">10000</text>"), "{svg}");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 6);
        assert!(svg.contains("points=\"80.0,70.5 696.0,"), "{svg}");
        // Nothing to show is no error.
        assert!(chart(&[]).ends_with("</svg>\n"));
    }
}
