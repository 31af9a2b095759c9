// What people wish of a photograph's colors, step by step, so that each step can be undone.
//
// A state is plain JSON as the server takes it: vividness 0..100, warmth -50..50, variant 0..3,
// points {page, x, y, color, radius, who, source} and a reference {name, sha256, colors, who, source}
// or null. States are never changed, only replaced.

export const NEUTRAL = { vividness: 50, warmth: 0, variant: 0, points: [], reference: null };

/** The present wishes and how they came about; an EventTarget with "change". */
export class Wishes extends EventTarget {
  /** @param {Object} applied - those that the result in the outbox was colored with. */
  constructor(applied) {
    super();
    this.applied = { ...NEUTRAL, ...applied };
    this._steps = [this.applied];
    this._at = 0;
    this._merging = null;
  }

  get present() {
    return this._steps[this._at];
  }

  get canUndo() {
    return this._at > 0;
  }

  get canRedo() {
    return this._at < this._steps.length - 1;
  }

  /** Whether anything differs from what was applied. */
  get changed() {
    return !same(this.sent, this.applied);
  }

  /** Whether the photograph would look otherwise than as it was applied. */
  get looksOtherwise() {
    return looks(this.sent) !== looks(this.applied);
  }

  /** What the look of a page depends on, as text: equal looks need no other preview. */
  lookOf(page) {
    return looks(this.sent, page);
  }

  /** The wishes as they are sent: points that have no color yet are left out. */
  get sent() {
    return { ...this.present, points: this.present.points.filter((point) => point.color) };
  }

  /**
   * Takes a step.
   *
   * @param {Object} values - that replace those of the present state.
   * @param {string|null} merging - steps in a row with the same word here are undone as one, such
   *   as those of a slider that is being dragged.
   */
  change(values, merging = null) {
    const next = { ...this.present, ...values };
    if (same(next, this.present)) return;
    const merges = merging !== null && merging === this._merging && this.canUndo;
    this._steps.length = merges ? this._at : this._at + 1;
    this._steps.push(next);
    this._at = this._steps.length - 1;
    this._merging = merging;
    this._told();
  }

  /** Ends a step that others would merge with. */
  settle() {
    this._merging = null;
  }

  undo() {
    if (!this.canUndo) return;
    this._at -= 1;
    this.settle();
    this._told();
  }

  redo() {
    if (!this.canRedo) return;
    this._at += 1;
    this.settle();
    this._told();
  }

  /** Goes back to what was applied; that, too, can be undone. */
  reset() {
    this.settle();
    this.change(this.applied);
  }

  /** Starts afresh from wishes that now are applied. */
  accept(applied) {
    this.applied = { ...NEUTRAL, ...applied };
    this._steps = [this.applied];
    this._at = 0;
    this.settle();
    this._told();
  }

  /** Changes one point. */
  changePoint(index, values, merging = null) {
    const points = this.present.points.map((point, at) =>
      at === index ? { ...point, ...values } : point,
    );
    this.change({ points }, merging && `${merging} ${index}`);
  }

  /** Adds a point; gives its index. */
  addPoint(point) {
    this.settle();
    this.change({ points: [...this.present.points, point] });
    return this.present.points.length - 1;
  }

  removePoint(index) {
    this.settle();
    this.change({ points: this.present.points.filter((_, at) => at !== index) });
  }

  _told() {
    this.dispatchEvent(new Event("change"));
  }
}

function same(a, b) {
  return JSON.stringify(sorted(a)) === JSON.stringify(sorted(b));
}

function sorted({ vividness, warmth, variant, points, reference }) {
  const flat = points.map(({ page, x, y, color, radius, source }) => [page, x, y, color, radius, source]);
  return [vividness, warmth, variant, flat, reference?.sha256, reference?.colors];
}

/** Writes down all that changes colors; evidence and names do not. */
function looks({ vividness, warmth, variant, points, reference }, page = null) {
  const seen = points.filter((point) => page === null || point.page === page);
  const flat = seen.map(({ page: of, x, y, color, radius }) => [of, x, y, color, radius]);
  return JSON.stringify([vividness, warmth, variant, flat, reference?.colors]);
}
