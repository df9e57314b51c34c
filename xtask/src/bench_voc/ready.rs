//! What cells need before they run, each looked at once: the models, their first weights, the data sets.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::Args;
use super::cell::{Data, Weights};
use super::datasets::DataSet;
use super::mlcls::Mlcls;
use super::places::Places;
use super::record::{DataCard, WeightsCard};

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Our names of the models that the user named. A wrong model, recipe or setting ends the bench before it starts.
pub fn models(mlcls: &Mlcls, args: &Args) -> Result<Vec<String>> {
    let known = mlcls.json(&words(&["find", "--json"]))?;
    let mut models = vec![];
    for name in args.models() {
        let mut show = words(&["config", "show", "--model", name, "--recipe", &args.recipe, "--json"]);
        show.extend(args.changes().into_iter().flat_map(|change| ["--set".to_owned(), change]));
        let backbone = mlcls.json(&show)?["model"]["name"].clone();
        let entry = known.as_array().into_iter().flatten().find(|entry| entry["backbone"] == backbone);
        let name =
            entry.and_then(|e| e["name"].as_str()).with_context(|| format!("`mlcls find` lacks {name}"))?;
        ensure!(!models.iter().any(|m| m == name), "--models: {name} is named twice");
        models.push(name.to_owned());
    }
    for pair in &args.pretrained {
        let model = pair.split_once('=').map(|(model, _)| model);
        ensure!(
            model.is_some_and(|model| models.iter().any(|m| m == model)),
            "--pretrained {pair}: expected MODEL=WEIGHTS with a model of this bench: {}",
            models.join(", ")
        );
    }
    Ok(models)
}

/// The first weights of a model; an error says what to download.
pub fn weights(mlcls: &Mlcls, args: &Args, model: &str) -> Result<Weights> {
    let wanted = args.pretrained.iter().find_map(|pair| pair.split_once('=').filter(|(m, _)| *m == model));
    let wanted = wanted.map_or(if args.smoke { "none" } else { "auto" }, |(_, weights)| weights);
    if wanted == "none" {
        let card = WeightsCard { name: "none".to_owned(), sha256: None };
        return Ok(Weights { flag: "none".to_owned(), card });
    }
    let found = match mlcls.json(&words(&["weights", "fetch", model, "--pretrained", wanted, "--json"])) {
        Ok(found) => found,
        Err(error) => {
            println!("{model}: {error}");
            bail!("{}", advice(mlcls, model, wanted, &error.to_string())?);
        }
    };
    let text = |key: &str| found[key].as_str().map(str::to_owned);
    let path = text("path").context("`mlcls weights fetch` gave no path")?;
    let name = Path::new(&path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let flag = match text("weights") {
        Some(tag) => tag,
        None => std::path::absolute(&path)?.to_string_lossy().into_owned(),
    };
    let card = WeightsCard { name: text("weights").unwrap_or(name), sha256: text("sha256") };
    Ok(Weights { flag, card })
}

/// What to do about published weights that could not be had, in one line without this machine's folders.
fn advice(mlcls: &Mlcls, model: &str, wanted: &str, said: &str) -> Result<String> {
    let listed = mlcls.json(&words(&["weights", "list", model, "--json"]))?;
    let wanted = wanted.trim_start_matches("timm/");
    let is_it =
        |one: &&Value| if wanted == "auto" { one["default"] == true } else { one["weights"] == wanted };
    let Some(one) = listed.as_array().into_iter().flatten().find(is_it) else {
        return Ok(format!("weights {wanted}: {said}"));
    };
    let text = |key: &str| one[key].as_str().unwrap_or_default();
    Ok(format!(
        "the weights {0} are not on this machine: `mlcls weights fetch {model} --pretrained {0}` with a network, or get \
         model.safetensors of {1} and say --pretrained {model}=FILE",
        text("weights"),
        text("page")
    ))
}

/// A data set in the splits of the table, checked to be the published one; an error says what is missing.
pub fn data(mlcls: &Mlcls, places: &Places, set: &DataSet) -> Result<Data> {
    let root = set.prepare(&places.data, &places.work)?;
    let stats =
        ["data", "stats", &root.to_string_lossy(), "--difficult", set.difficult(), "--hash", "--json"];
    let stats = mlcls.json(&words(&stats))?;
    let content = stats["content_hash"].as_str().context("`mlcls data stats` gave no hash")?;
    let card = DataCard::of(&set.title, content, &stats).context("`mlcls data stats` gave no counts")?;
    let images = &card.images;
    let in_words = |images: &mut dyn Iterator<Item = (&str, usize)>| {
        images.map(|(split, n)| format!("{split} {n}")).collect::<Vec<_>>().join(", ")
    };
    let lacks = |(split, n): &(&str, usize)| !images.iter().any(|(name, found)| name == split && found == n);
    ensure!(
        !set.images.iter().any(lacks),
        "{} is not the published data set: expected images {}, found {}. {}",
        places.short(&root.to_string_lossy()),
        in_words(&mut set.images.iter().copied()),
        in_words(&mut images.iter().map(|(split, n)| (split.as_str(), *n))),
        set.advice
    );
    Ok(Data { root, card })
}
