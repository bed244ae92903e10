use std::fs;

use super::*;

const LOG: &str = r#"{"event":"start","anything":[1,2]}
{"event":"update","update":100,"epoch":1,"loss":9.5,"nll_loss":8.25,"learning_rate":0.0005,"gradient_norm":1.5,"new":1}
{"event":"update","update":200,"epoch":1,"loss":7.5,"nll_loss":6.25,"learning_rate":0.0005,"gradient_norm":1.25}
{"event":"validation","update":200,"epoch":1,"loss":7.25,"nll_loss":6.5,"perplexity":90.5,"bleu":12.5,"best":true}
{"event":"update","update":300,"epoch":2,"loss":null,"nll_loss":null,"learning_rate":0.0005,"gradient_norm":null}
{"event":"validation","update":300,"epoch":2,"loss":6.5,"nll_loss":5.5,"perplexity":45.25,"bleu":20.5,"best":true}
{"event":"upda"#;

/// A folder with runs that are named by what they log.
fn runs(folder: &Path, logs: &[(&str, &str)]) -> Vec<(String, PathBuf)> {
    let write = |index: usize, log: &str| {
        let path = folder.join(format!("{index}.jsonl"));
        fs::write(&path, log).unwrap();
        path
    };
    logs.iter().enumerate().map(|(index, (name, log))| ((*name).to_owned(), write(index, log))).collect()
}

fn svg(logs: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("curve.svg");
    learning_curve(&runs(folder.path(), logs), &output).unwrap();
    fs::read_to_string(output).unwrap()
}

fn lines(svg: &str, width: u32) -> Vec<usize> {
    let width = format!("stroke-width=\"{width}\"");
    let lines = svg.lines().filter(|line| line.starts_with("<polyline") && line.contains(&width));
    lines.map(|line| line.split("points=\"").nth(1).unwrap_or_default().split_whitespace().count() - 1).collect()
}

/// Oracle: the events of the log, counted by hand. The last item of each line is the end of its tag; the legend has a
/// line of two points of each kind.
#[test]
fn every_logged_point_is_drawn() {
    let svg = svg(&[("first", LOG), ("<second> & last", LOG)]);
    // Training, 3 wide: the loss that is not a number is left out. Validation, 4 wide: losses, then BLEU.
    assert_eq!(lines(&svg, 3), [2, 2, 2]);
    assert_eq!(lines(&svg, 4), [2, 2, 2, 2, 2]);
    // Four points of validation for each of two runs, and one in the legend.
    assert_eq!(svg.matches("<circle").count(), 9);
    let texts = [
        "\nfirst\n",
        "\n&lt;second&gt; &amp; last\n",
        "\ntraining nll\n",
        "\nvalidation BLEU\n",
        "\nupdates\n",
        "\nloss (bits per target token)\n",
    ];
    for text in texts {
        assert!(svg.contains(text), "{text}");
    }
}

#[test]
fn there_is_no_panel_for_bleu_where_it_was_not_measured() {
    let log = LOG.replace("\"bleu\"", "\"other\"");
    let svg = svg(&[("run", &log)]);
    assert!(!svg.contains("BLEU"));
    assert!(svg.contains("\nupdates\n"));
}

#[test]
fn a_diverging_run_does_not_flatten_the_others() {
    let diverged = LOG.replace("5.5,\"perplexity\"", "5000.5,\"perplexity\"");
    let svg = svg(&[("good", LOG), ("diverged", &diverged)]);
    assert!(svg.contains("\n10\n") && !svg.contains("\n5,000\n"));
}

/// The pixels of a PNG: it has the colours of both runs, and text, which is all that is drawn in many shades of grey.
#[test]
fn a_png_has_lines_and_text() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("curve.png");
    learning_curve(&runs(folder.path(), &[("first", LOG), ("second", LOG)]), &output).unwrap();
    let decoder = png::Decoder::new(std::io::BufReader::new(fs::File::open(output).unwrap()));
    let mut reader = decoder.read_info().unwrap();
    let mut pixels = vec![0; 1800 * 1400 * 3];
    let frame = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((frame.width, frame.height), (1800, 1400));
    let count = |wanted: [u8; 3]| pixels.chunks_exact(3).filter(|pixel| **pixel == wanted).count();
    assert!(count([0, 114, 178]) > 500 && count([213, 94, 0]) > 500);
    let greys: std::collections::HashSet<u8> = pixels
        .chunks_exact(3)
        .filter(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2])
        .map(|pixel| pixel[0])
        .collect();
    assert!(greys.len() > 50, "{}", greys.len());
}

/// Oracle: the log above, written out by hand.
#[test]
fn csv_holds_the_points_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("curve.csv");
    learning_curve_csv(&runs(folder.path(), &[("a, \"b\"", LOG)]), &output).unwrap();
    let expected = r#"run,event,update,epoch,loss,nll_loss,perplexity,bleu,learning_rate,gradient_norm,accuracy
"a, ""b""",update,100,1,9.5,8.25,,,0.0005,1.5,
"a, ""b""",update,200,1,7.5,6.25,,,0.0005,1.25,
"a, ""b""",update,300,2,,,,,0.0005,,
"a, ""b""",validation,200,1,7.25,6.5,90.5,12.5,,,
"a, ""b""",validation,300,2,6.5,5.5,45.25,20.5,,,
"#;
    assert_eq!(fs::read_to_string(output).unwrap(), expected);
}

#[test]
fn failures_say_what_to_do_and_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let failure = |log: &str, name: &str| {
        let output = folder.path().join(name);
        let error = learning_curve(&runs(folder.path(), &[("run", log)]), &output).unwrap_err();
        assert!(!output.exists());
        error.to_string()
    };
    assert!(failure("", "curve.svg").contains("0.jsonl: expected at least one `update` or `validation` event"));
    assert!(failure("{\"event\":\"update\"}\n", "curve.svg").contains("0.jsonl:1: expected one JSON object of a log"));
    assert!(failure(LOG, "curve.pdf").contains("has to end in .svg or .png"));
    let missing = [("run".to_owned(), folder.path().join("missing.jsonl"))];
    let error = learning_curve(&missing, &folder.path().join("curve.svg")).unwrap_err();
    assert!(error.to_string().contains("missing.jsonl"));
    assert_eq!(learning_curve(&[], &folder.path().join("curve.svg")).unwrap_err().exit_code(), 2);
}
