// One deep-zoom view: pictures of the same photograph laid over each other at the same bounds.
//
// In front lies one picture; with a divider, another one is seen left of it. Places are given as
// shares of the picture's width and height (0..1 from the upper left corner), so that they hold
// for every size at which a picture comes.

/* global OpenSeadragon */

const ITS_STYLE = "data-openseadragon-mobile-css";
const SAME = 1e-3; // zoom factors that differ less are equal
const MOST_SCREEN_PIXELS = 8; // for one pixel of the photograph
const OPTIONS = {
  drawer: "canvas",
  showNavigationControl: false,
  keyboardNavEnabled: false, // keys.js does that
  preserveViewport: true,
  visibilityRatio: 0.2,
  minZoomImageRatio: 0.5,
  maxZoomPixelRatio: MOST_SCREEN_PIXELS,
  smoothTileEdgesMinZoom: Infinity,
  springStiffness: 12,
  blendTime: 0, // what is flipped is there at once
  imageLoaderLimit: 8,
  timeout: 180000, // the first look at a large scan makes its tiles
  tileRetryMax: 2,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: false },
  gestureSettingsPen: { clickToZoom: false, flickEnabled: false },
  gestureSettingsTouch: { flickEnabled: false },
};

/** A view of pictures by name, such as "scan" and "colored"; an EventTarget with "view" and "pick". */
export class Stage extends EventTarget {
  /**
   * @param {HTMLElement} element - to fill.
   * @param {string} label - what a screen reader calls the view.
   */
  constructor(element, label) {
    super();
    forbidStyle();
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.viewer = OpenSeadragon({ ...OPTIONS, element, animationTime: calm ? 0 : 0.3 });
    this.viewer.canvas.setAttribute("role", "application");
    this.viewer.canvas.setAttribute("aria-label", label);
    this.front = null;
    this.back = null;
    this.divider = null;
    this._sources = new Map(); // name -> URL, as last asked for
    this._items = new Map(); // name -> TiledImage that is shown under that name
    this._wanted = null; // a view to take up as soon as there is a picture
    this._over = new Map(); // name -> opacity of pictures that lie over all others
    this._markers = [];
    this.viewer.addHandler("viewport-change", () => this._moved());
    this.viewer.addHandler("canvas-click", (event) => this._clicked(event));
    this.viewer.addHandler("resize", () => this._resized());
    this.viewer.addHandler("animation-finish", () => this._came());
    this._keepPixels();
  }

  /** The element that takes the keyboard's focus. */
  get canvas() {
    return this.viewer.canvas;
  }

  /** Whether there is a picture. */
  get ready() {
    return this._any() !== null;
  }

  /**
   * Puts a picture under a name; the earlier one stays until the new one can be drawn.
   *
   * @param {string} name
   * @param {string|null} url - of an info.json or an image; null takes the picture away.
   * @returns {Promise<void>} when it is there.
   */
  async put(name, url) {
    if ((this._sources.get(name) ?? null) === url) return;
    this._sources.set(name, url);
    if (url === null) {
      this._replace(name, null);
      return;
    }
    let item;
    try {
      item = await this._load(url);
    } catch (error) {
      if (this._sources.get(name) === url) this._sources.delete(name); // it may be asked for again
      throw error;
    }
    // Tiles left of the divider load too, so that they are there when it moves or the view flips.
    item.getClippedBounds = (current) => item.getBounds(current);
    if (this._sources.get(name) !== url) {
      this.viewer.world.removeItem(item); // meanwhile another was asked for
      return;
    }
    await drawable(item);
    if (this._sources.get(name) === url) this._replace(name, item);
    else this.viewer.world.removeItem(item);
  }

  /**
   * Arranges what is there.
   *
   * @param {string} front - the name of the picture in front.
   * @param {string|null} back - the one left of the divider, null without.
   * @param {number|null} divider - where it stands, as a share of the view's width.
   */
  show(front, back = null, divider = null) {
    this.front = front;
    this.back = back === front ? null : back;
    this.divider = this.back === null ? null : divider;
    this._arrange();
  }

  /** Lays a picture over all others with this opacity; 0 hides it. */
  lay(name, opacity) {
    this._over.set(name, opacity);
    this._arrange();
  }

  // Zoom and place

  /** Shows the whole picture. */
  fit() {
    this.viewer.viewport.goHome(true);
  }

  /** Shows one pixel of the photograph as one pixel of the screen. */
  showPixels() {
    const { viewport } = this.viewer;
    const item = this._any();
    if (item === null) return;
    viewport.zoomTo(item.imageToViewportZoom(1 / devicePixelRatio), null, true);
    viewport.applyConstraints(true);
    this._snap(item);
  }

  /** Zooms by a factor about the middle. */
  zoomBy(factor) {
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Moves by shares of the view's width and height. */
  panBy(right, down) {
    const { viewport } = this.viewer;
    const size = viewport.getBounds();
    viewport.panBy(new OpenSeadragon.Point(size.width * right, size.height * down));
    viewport.applyConstraints();
  }

  /** Screen pixels for each pixel of the photograph, where the view is going. */
  get scale() {
    const item = this._any();
    if (item === null) return null;
    const zoom = item.viewportToImageZoom(this.viewer.viewport.getZoom());
    return zoom * devicePixelRatio;
  }

  /**
   * What is seen: {fit}, {pixels, x, y} or {zoom, x, y}, with the zoom relative to the whole
   * picture and the middle as shares; or null before there is a picture.
   */
  get view() {
    const item = this._any();
    if (item === null) return this._wanted;
    const { viewport } = this.viewer;
    const zoom = viewport.getZoom() / viewport.getHomeZoom();
    const bounds = item.getBounds();
    const center = viewport.getCenter();
    const [x, y] = [center.x / bounds.width, center.y / bounds.height];
    if (close(zoom, 1) && Math.abs(x - 0.5) < SAME && Math.abs(y - 0.5) < SAME) {
      return { fit: true };
    }
    return close(this.scale, 1) ? { pixels: true, x, y } : { zoom, x, y };
  }

  set view(view) {
    const item = this._any();
    if (item === null || view === null) {
      this._wanted = view;
      return;
    }
    const { viewport } = this.viewer;
    if (view.fit) {
      viewport.goHome(true);
      return;
    }
    const bounds = item.getBounds();
    if (!view.pixels) viewport.zoomTo(view.zoom * viewport.getHomeZoom(), null, true);
    viewport.panTo(new OpenSeadragon.Point(view.x * bounds.width, view.y * bounds.height), true);
    if (view.pixels) this.showPixels();
    else viewport.applyConstraints(true);
  }

  /** Takes over exactly what another stage shows, while both have the same size. */
  follow(other) {
    const [mine, theirs] = [this.viewer.viewport, other.viewer.viewport];
    if (!close(mine.getZoom(), theirs.getZoom())) mine.zoomTo(theirs.getZoom(), null, true);
    const [here, there] = [mine.getCenter(), theirs.getCenter()];
    if (Math.hypot(here.x - there.x, here.y - there.y) > 1e-9) mine.panTo(there, true);
  }

  // Places and marks

  /** The place in the middle of the view, as shares; null beside the picture. */
  get middle() {
    return this._place(this.viewer.viewport.getCenter());
  }

  /**
   * Marks places.
   *
   * @param {{element: HTMLElement, x: number, y: number}[]} markers - with the elements to show.
   */
  set markers(markers) {
    for (const element of this._markers) this.viewer.removeOverlay(element);
    this._markers = markers.map((one) => one.element);
    const bounds = this._any()?.getBounds();
    if (!bounds) return;
    for (const { element, x, y } of markers) {
      this.viewer.addOverlay({
        element,
        location: new OpenSeadragon.Point(x * bounds.width, y * bounds.height),
        placement: OpenSeadragon.Placement.CENTER,
        checkResize: false,
      });
    }
  }

  /** Where a place is seen now, in CSS pixels from the view's upper left corner. */
  seenAt(x, y) {
    const bounds = this._any().getBounds();
    const point = new OpenSeadragon.Point(x * bounds.width, y * bounds.height);
    return this.viewer.viewport.pixelFromPoint(point, true);
  }

  /** Resolves when everything in view is drawn as sharp as it gets. */
  async settled() {
    const frames = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    await frames();
    const items = [...this._items.values()].filter((item) => item.getOpacity() > 0);
    await Promise.all(items.map(drawable));
    await frames();
  }

  // Inside

  _load(url) {
    const tileSource = url.endsWith("info.json") ? url : { type: "image", url };
    return new Promise((resolve, reject) => {
      this.viewer.addTiledImage({
        tileSource,
        x: 0,
        y: 0,
        width: 1,
        opacity: 0,
        preload: true,
        success: ({ item }) => resolve(item),
        error: ({ message }) => reject(new Error(message)),
      });
    });
  }

  _replace(name, item) {
    const earlier = this._items.get(name);
    if (item) this._items.set(name, item);
    else this._items.delete(name);
    if (item && this._items.size === 1) {
      this.viewer.viewport.goHome(true);
      if (this._wanted) this.view = this._wanted;
      this._wanted = null;
    }
    this._arrange();
    if (earlier) this.viewer.world.removeItem(earlier);
    this.dispatchEvent(new Event("view"));
  }

  _arrange() {
    const { world } = this.viewer;
    for (const [name, item] of this._items) {
      const over = this._over.get(name);
      const shown = name === this.front || (name === this.back && this.divider !== null);
      item.setOpacity(over ?? (shown ? 1 : 0));
      if (over === undefined && name !== this.front) item.setClip(null);
    }
    for (const name of [this.back, this.front, ...this._over.keys()]) {
      const item = this._items.get(name);
      if (item) world.setItemIndex(item, world.getItemCount() - 1);
    }
    this._clip();
  }

  /** Cuts the picture in front off at the divider. */
  _clip() {
    const item = this._items.get(this.front);
    if (!item) return;
    const { x: width, y: height } = item.source.dimensions;
    if (this.divider === null || !this._items.has(this.back)) {
      item.setClip(null);
      item.setOpacity(1);
      return;
    }
    const { viewport } = this.viewer;
    const pixel = new OpenSeadragon.Point(this.divider * viewport.getContainerSize().x, 0);
    const cut = viewport.pointFromPixel(pixel, true).x * width;
    item.setOpacity(cut < width ? 1 : 0); // an empty clip would divide by zero
    if (cut <= 0) item.setClip(null);
    else if (cut < width) item.setClip(new OpenSeadragon.Rect(cut, 0, width - cut, height));
  }

  _moved() {
    if (this.divider !== null) this._clip();
    this.dispatchEvent(new Event("view"));
  }

  /** Pixels shown as pixels stay so wherever the view was moved. */
  _came() {
    const item = this._any();
    if (item && close(this.scale, 1)) this._snap(item);
  }

  /** Tiles are drawn a pixel larger to close seams, which blurs; where pixels coincide are none. */
  _keepPixels() {
    const { drawer } = this.viewer;
    const usual = drawer.minimumOverlapRequired.bind(drawer);
    drawer.minimumOverlapRequired = (item) => !close(this.scale, 1) && usual(item);
  }

  _resized() {
    requestAnimationFrame(() => this._clip());
  }

  _clicked(event) {
    if (!event.quick) return;
    const place = this._place(this.viewer.viewport.pointFromPixel(event.position));
    if (place) this.dispatchEvent(new CustomEvent("pick", { detail: place }));
  }

  _place(point) {
    const bounds = this._any()?.getBounds();
    if (!bounds) return null;
    const [x, y] = [point.x / bounds.width, point.y / bounds.height];
    return x >= 0 && x <= 1 && y >= 0 && y <= 1 ? { x, y } : null;
  }

  /** The largest picture: previews are smaller than the photograph. */
  _any() {
    const items = [...this._items.values()];
    const width = (item) => item.source.dimensions.x;
    return items.reduce((best, item) => (best && width(best) >= width(item) ? best : item), null);
  }

  /** Moves by part of a pixel, so that pixels of photograph and screen coincide. */
  _snap(item) {
    const { viewport } = this.viewer;
    const corner = viewport.pixelFromPoint(item.getBounds().getTopLeft(), false);
    const part = (at) => (Math.round(at * devicePixelRatio) - at * devicePixelRatio) / devicePixelRatio;
    const off = new OpenSeadragon.Point(-part(corner.x), -part(corner.y));
    if (Math.hypot(off.x, off.y) > 1e-6) viewport.panBy(viewport.deltaPointsFromPixels(off, false), true);
  }
}

function close(a, b) {
  return Math.abs(a / b - 1) < SAME;
}

/** Resolves when a picture has all it needs for what is seen; at the latest after its time is up. */
function drawable(item) {
  return new Promise((resolve) => item.whenFullyLoaded(() => resolve()));
}

/**
 * Keeps OpenSeadragon from adding a style, which the page's policy bars and which hides the focus:
 * it adds none where it finds one. This one is no style of HTML, so it is none to the policy.
 */
function forbidStyle() {
  if (document.querySelector(`style[${ITS_STYLE}]`)) return;
  const style = document.createElementNS("urn:photochrom:nothing", "style");
  style.setAttribute(ITS_STYLE, "true");
  document.head.append(style);
}
