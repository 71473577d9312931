"""Questions ready to ask: each a name, what it tells, and SQL over the views. `xmap sql NAME` asks one, `xmap sql --list` shows all.

Affinities of two methods have different scales, so that no question mixes methods without saying which. Training logs hold one row
a sample and epoch: questions about training take the first and the last epoch. Of equally frequent words `mode` takes the first in its
order; without one the threads decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Question:
    """What the answer tells, and the query; `spare` are the columns that a narrow terminal leaves out, the first first."""

    about: str
    sql: str
    spare: tuple[str, ...] = ()


def _sides(order: str) -> str:
    """Classes by how far one side's affinity, each divided by its mean over the method's test images, is ahead of the other's."""
    return f"""
with means as (
  select method, avg(affinity_image) as mean_image, avg(affinity_text) as mean_text
  from affinity where split = 'test' group by method
), classes as (
  select method, class_name, avg(affinity_text) as text, avg(affinity_image) as image, avg(correct::int) as correct, count(*) as images
  from affinity where split = 'test' group by method, class_name
)
select method, class_name, round(text / mean_text, 3) as relative_text, round(image / mean_image, 3) as relative_image,
  round(100 * correct, 1) as accuracy, images
from classes join means using (method)
where mean_image > 0 and mean_text > 0 and {order}
order by abs(relative_text - relative_image) desc, class_name limit 20"""  # noqa: S608


# Of each name the images and the pairs that a run used last: what was mended is no longer shown.
NEWEST = """
with newest as (
  select artifact from artifacts where stage in ('images', 'pairs')
  qualify row_number() over (partition by stage, name order by used desc, created desc, artifact) = 1
)"""


NEWEST_ANSWERS = """
with newest as (
  select artifact from artifacts where stage = 'answers'
  qualify row_number() over (partition by name order by used desc, created desc, artifact) = 1
)"""


# Below it a label is improbable, to what never learned it.
IMPROBABLE = 0.05


QUESTIONS: Mapping[str, Question] = {
    "methods": Question(
        "The methods side by side: accuracy (percent) with its 95 % interval, and what settings were chosen on.",
        """
select distinct dataset, shots, method, round(accuracy_mean, 2) as accuracy, round(accuracy_low, 2) as low, round(accuracy_high, 2) as high,
  ci_kind, round(ece_mean, 2) as ece, selected_on, artifact
from runs order by dataset, shots, accuracy desc, method, artifact""",
        ("artifact", "ci_kind", "selected_on", "ece"),
    ),
    "hardest-samples": Question(
        "Test images on which the image cache and the text cache disagree most.",
        """
with hardest as (
  select method, sample_id, label, avg(difference) as difference, avg(affinity_image) as image, avg(affinity_text) as text
  from affinity where split = 'test' and difference is not null
  group by method, sample_id, label order by difference desc, sample_id limit 20
)
select h.sample_id, h.method, any_value(a.class_name) as class_name, mode(a.predicted_name order by a.predicted_name) as predicted,
  round(h.difference, 3) as difference, round(h.image, 3) as image, round(h.text, 3) as text,
  round(100 * avg(a.correct::int)) as right_percent
from hardest h join affinity a using (method, sample_id, label) where a.split = 'test'
group by h.method, h.sample_id, h.difference, h.image, h.text order by h.difference desc, h.sample_id""",
    ),
    "text-beats-image": Question(
        "Classes that the text cache knows better than the image cache: affinity to the true class, relative to the side's mean.",
        _sides("relative_text > relative_image"),
    ),
    "image-beats-text": Question(
        "Classes that the image cache knows better than the text cache: affinity to the true class, relative to the side's mean.",
        _sides("relative_image > relative_text"),
    ),
    "rising-weights": Question(
        "Training images whose weight in the loss rose most from the first epoch to the last.",
        """
with ends as (
  select run, max(epoch) as last from affinity where split = 'train' group by run having last > 1
), before as (
  select run, sample_id, weight from affinity where split = 'train' and epoch = 1
), after as (
  select a.* from affinity a join ends e on a.run = e.run and a.epoch = e.last where a.split = 'train'
)
select a.method, a.seed, a.sample_id, a.class_name, round(b.weight, 3) as first_weight, round(a.weight, 3) as last_weight,
  round(a.weight - b.weight, 3) as rise
from before b join after a using (run, sample_id)
where a.weight > b.weight order by a.weight - b.weight desc, a.sample_id limit 20""",
    ),
    "confusions": Question(
        "Which class is taken for which, by method: mistakes a seed, and their share of the class's test images.",
        """
with totals as (select artifact, method, label, count(*) as images from predictions group by all)
select p.method, p.class_name, p.predicted_name, round(count(*) / count(distinct p.seed), 1) as mistakes_a_seed,
  round(100 * count(*) / any_value(t.images), 1) as percent_of_class
from predictions p join totals t using (artifact, method, label)
where p.predicted <> p.label group by p.artifact, p.method, p.class_name, p.predicted_name
order by count(*) desc, p.class_name limit 20""",
    ),
    "duplicates": Question(
        "Images that are there more than once in the newest images of a data set: byte for byte, or nearly, as far as `xmap eval` found.",
        NEWEST
        + """
select dataset, 'exact' as kind, count(*) as images, string_agg(distinct split, ', ' order by split) as splits,
  string_agg(distinct class_name, ', ' order by class_name) as classes, min(sample_id) as sample_id, max(sample_id) as also,
  1.0 as cosine, artifact
from samples semi join newest using (artifact) where content is not null group by dataset, artifact, content having count(*) > 1
union all
select dataset, 'near', 2, if(split = other_split, split, other_split || ', ' || split),
  if(label = other_label, class_name, other_class || ', ' || class_name), other_id, sample_id, round(cosine::double, 4), artifact
from pairs semi join newest using (artifact) where not exact
order by kind, images desc, cosine desc, sample_id, also, artifact limit 1000""",
        ("artifact",),
    ),
    "leaks": Question(
        "Validation and test images that an earlier split has too, byte for byte or nearly: what they measure was seen before. Given back "
        "with --labels, the answer leaves them out.",
        f"""{NEWEST}, found as (
  select s.dataset, s.split, s.sample_id, s.class_name, 'exact' as kind, t.split as also_split, t.sample_id as also,
    t.class_name as also_class, 1.0 as cosine, s.artifact
  from samples s semi join newest using (artifact) join samples t on t.artifact = s.artifact and t.content = s.content
  where (s.split in ('val', 'test') and t.split = 'train') or (s.split = 'test' and t.split = 'val')
  union all
  select dataset, split, sample_id, class_name, 'near', other_split, other_id, other_class, round(cosine::double, 4), artifact
  from pairs semi join newest using (artifact) where not exact and split <> other_split
)
select dataset, split, sample_id, class_name, kind, also_split, also, also_class, cosine, 'leave-out' as label, artifact from found
qualify row_number() over (partition by dataset, split, sample_id order by kind, cosine desc, also_split, also, artifact) = 1
order by dataset, split, kind, cosine desc, sample_id""",  # noqa: S608
        ("artifact", "label"),
    ),
    "label-suspects": Question(
        "Images whose label has a probability below 5 %, to what never learned it (in runs of before: none of the nearest cached images "
        "has it): often a wrong label, the least probable first. `likely` is the most probable class.",
        f"""
with probable as (
  select dataset, split, sample_id, label, avg(label_probability) as probability,
    first(likely_name order by likely_probability desc, likely_name) as likely, any_value(class_name) as class_name, count(*) as runs
  from out_of_sample group by dataset, split, sample_id, label
), near as (
  -- neighbours are those in the cache, so the first epoch says what all epochs say
  select dataset, split, sample_id, label, avg(neighbor_agreement) as agreement, mode(predicted_name order by predicted_name) as predicted,
    any_value(class_name) as class_name, count(*) as runs
  from affinity where epoch <= 1 group by dataset, split, sample_id, label
), suspects as (
  select dataset, split, sample_id, coalesce(p.class_name, n.class_name) as class_name, coalesce(likely, predicted) as likely, probability,
    agreement, coalesce(p.runs, n.runs) as runs
  from probable p full join near n using (dataset, split, sample_id, label) where coalesce(probability < {IMPROBABLE}, agreement = 0)
), named as (
  -- the class that an image has by now; of one that was replaced under its name no content is said, for runs saw either
  select dataset, sample_id, arg_max(class_name, used) as now, if(count(distinct content) = 1, any_value(content), null) as content
  from samples join artifacts using (artifact) where sample_id in (select sample_id from suspects) group by dataset, sample_id
)
select dataset, split, sample_id, s.class_name as label, likely, ceil(10000 * probability) / 100 as percent,
  round(100 * agreement) as neighbors_percent, runs, content
from suspects s left join named n using (dataset, sample_id) where coalesce(now = s.class_name, true)
order by probability, agreement, runs desc, sample_id limit 1000""",  # noqa: S608
        ("content", "dataset", "runs", "split"),
    ),
    "misleading": Question(
        "Cached images that mislead most: how many wrong answers to test images each supported, being near and of the class answered, and "
        "how many right ones. `instead_of` is the class that most images so mistaken have; `percent` how probable its own label is. Test "
        "images name them: what is mended by this is to be measured on others.",
        """
with votes as (
  -- a method without an image cache hears none of its neighbours
  select dataset, class_name, predicted_name, correct, unnest(neighbors) as near, predicted
  from affinity where split = 'test' and affinity_image is not null
), spoken as (
  select dataset, near.sample_id as sample_id, predicted_name as class_name, count(*) filter (not correct) as mistakes,
    count(*) filter (correct) as right_answers, mode(class_name order by class_name) filter (not correct) as instead_of
  from votes where near.label = predicted group by dataset, near.sample_id, predicted_name
  having mistakes > 0 order by mistakes desc, right_answers, sample_id limit 100
), own as (
  select dataset, sample_id, class_name, avg(label_probability) as probability
  from out_of_sample where split = 'train' and sample_id in (select sample_id from spoken) group by dataset, sample_id, class_name
)
select dataset, sample_id, class_name, mistakes, right_answers, instead_of, floor(10000 * probability) / 100 as percent
from spoken left join own using (dataset, sample_id, class_name) order by mistakes desc, right_answers, sample_id""",
        ("dataset",),
    ),
    "gamma-by-class": Question(
        "The share of the image cache in the fused affinity, by method and class (1 is image only).",
        """
select method, class_name, round(avg(gamma), 3) as gamma, round(min(gamma), 3) as lowest, round(max(gamma), 3) as highest,
  count(*) as images
from affinity where split = 'test' and gamma is not null group by method, class_name order by method, avg(gamma) desc, class_name""",
    ),
    "fixed-by-the-adapter": Question(
        "Test images that zero-shot had wrong and the method has right with every seed.",
        """
with fixed as (
  select method, sample_id, label, avg(margin) as margin from affinity where split = 'test' and method <> 'zero-shot'
  group by method, sample_id, label having not bool_or(zero_shot_correct) and bool_and(correct)
  order by margin desc, sample_id limit 20
)
select f.method, f.sample_id, any_value(a.class_name) as class_name, round(f.margin, 2) as margin,
  round(100 * avg(a.neighbor_agreement)) as same_class_neighbors_percent
from fixed f join affinity a using (method, sample_id, label) where a.split = 'test'
group by f.method, f.sample_id, f.margin order by f.margin desc, f.sample_id""",
    ),
    "confident-mistakes": Question(
        "Wrong answers given with the highest probability, and that of the true class. 99.9 and 0.1 percent stand for more and for less.",
        """
select method, seed, sample_id, class_name, predicted_name,
  case when probability >= 0.9995 then 99.9 else round(100 * probability, 1) end as percent,
  case when true_probability < 0.0005 then 0.1 else round(100 * true_probability, 1) end as true_percent
from predictions where predicted <> label order by probability desc, sample_id limit 20""",
    ),
    "answers": Question(
        "What was kept with `xmap predict --store-as NAME`, of each name what was used last: images by answer, how sure they are, and how "
        "many the adapter learned from. An empty class is none of these.",
        NEWEST_ANSWERS
        + """
select name, coalesce(class, 'cannot be read') as class, count(*) as images, round(100 * avg(probability), 1) as mean_percent,
  count(*) filter (probability < 0.5) as below_half, count(*) filter (class <> '' and class <> zero_shot) as unlike_zero_shot,
  count(*) filter (known) as known, artifact
from answers semi join newest using (artifact) group by name, artifact, answers.class order by name, images desc, answers.class""",
        ("artifact", "known", "unlike_zero_shot"),
    ),
    "unsure-answers": Question(
        "Answers of which the adapter is least sure: the smallest lead of the first choice over the second.",
        NEWEST_ANSWERS
        + """
select name, path, class, round(100 * probability::double, 1) as percent, second,
  round(100 * second_probability::double, 1) as second_percent,
  round(strangeness, 3) as strangeness, artifact
from answers semi join newest using (artifact) where error is null and class <> ''
order by probability - coalesce(second_probability, 0), path, artifact limit 50""",
        ("artifact", "strangeness"),
    ),
}
