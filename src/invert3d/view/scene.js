// One hidden WebGL2 canvas draws every card in turn; each card keeps the result in a 2-D canvas of its own, so that
// a page of eighty clouds needs one context. A card is drawn when it is in sight and something about it changed.
const GHOST = 0.42; // opacity
const maps = Object.fromEntries(Object.entries(page.maps).map(([name, text]) => [name, bytesOf(text)]));

// ---------------------------------------------------------------- clouds
async function unpack(cloud) {
  const planes = await inflated(cloud.states);
  const size = planes.length / 2, values = new Int16Array(size), row = cloud.count * 3;
  for (let i = 0; i < size; i++) values[i] = (planes[i] | (planes[size + i] << 8)) + (i < row ? 0 : values[i - row]);
  const states = cloud.steps.map((_, i) => values.subarray(i * row, (i + 1) * row));
  const heights = states[states.length - 1].filter((_, i) => i % 3 === 2);
  const low = heights.reduce((a, b) => Math.min(a, b)), high = heights.reduce((a, b) => Math.max(a, b));
  const given = cloud.tones ? bytesOf(cloud.tones) : null;
  const tones = states.map((state) => given || Uint8Array.from({ length: cloud.count }, (_, i) =>
    Math.max(0, Math.min(255, Math.round(255 * (state[3 * i + 2] - low) / Math.max(1, high - low))))));
  const ground = states.map((state) => state.reduce((a, b, i) => (i % 3 === 2 && b < a ? b : a), 32767));
  const gone = cloud.ghost ? bytesOf(cloud.ghost) : new Uint8Array(cloud.count);
  return { states, tones, ground, gone };
}

// ---------------------------------------------------------------- drawing with the GPU
const POINTS = `#version 300 es
precision highp float;
in vec3 place; in float tone, gone;
uniform mat3 axes; uniform vec2 half_; uniform float eye, unit, ball, pixels, ground, least;
uniform bool flat_, signed_, ghosts;
out float depth, shade;
void main() {
  vec3 p = place * unit;
  if (flat_) p.z = ground * unit;
  vec3 v = p * axes;
  float ahead = max(1.0 - v.z / eye, 1e-3);
  gl_Position = vec4(v.xy / (half_ * ahead), 0.0, v.z < eye ? 1.0 : -1.0);
  bool pale = gone > 0.0 || (signed_ ? abs(tone * 2.0 - 1.0) : tone) < least; // taken away, or too weak
  if (!flat_ && pale != ghosts) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
  gl_PointSize = (flat_ ? 0.085 : 2.0 * ball) * pixels / ahead;
  depth = -v.z; shade = tone;
}`;
const SPHERE = `#version 300 es
precision highp float;
in float depth, shade; uniform float ball; uniform sampler2D map; uniform bool flat_, cube, ghosts; uniform float share;
uniform mat3 axes; uniform vec3 pale;
out vec4 paint;
vec4 side(vec2 at) { // of the cube in the unit sphere: the normal, and how far its surface stands out
  vec3 start = at.x * axes[0] + at.y * axes[1], eye = axes[2];
  eye = mix(eye, vec3(1e-6), lessThan(abs(eye), vec3(1e-6)));
  vec3 far = (sign(eye) * 0.57735 - start) / eye, near = (-sign(eye) * 0.57735 - start) / eye;
  float out_ = min(far.x, min(far.y, far.z));
  if (out_ < max(near.x, max(near.y, near.z))) discard;
  vec3 face = vec3(equal(far, vec3(out_))) * sign(eye);
  return vec4(face * axes, out_);
}
void main() {
  vec2 at = (gl_PointCoord * 2.0 - 1.0) * vec2(1.0, -1.0);
  float r = dot(at, at);
  if (r > 1.0) discard;
  if (flat_) { paint = vec4(share * pow(1.0 - r, 2.0)); gl_FragDepth = 0.5; return; }
  vec4 shape = cube ? side(at) : vec4(at, sqrt(1.0 - r), sqrt(1.0 - r));
  vec3 normal = shape.xyz;
  float lambert = max(dot(normal, vec3(-0.42, 0.62, 0.663)), 0.0);
  vec3 tint = ghosts ? pale : texture(map, vec2((shade * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  paint = vec4(min(tint * (0.76 + 0.36 * lambert) + 0.18 * pow(lambert, 18.0), 1.0), 1.0);
  gl_FragDepth = (depth - ball * shape.w) / 8.0 + 0.5;
}`;
const SHEET = `#version 300 es
void main() { gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0); }`;
const FINISH = `#version 300 es
precision highp float;
uniform sampler2D paint, depth, pile; uniform vec3 fog, gloom; uniform float reach, ball, strength, many, opacity;
out vec4 result;
float far(ivec2 at) {
  ivec2 size = textureSize(depth, 0);
  return any(lessThan(at, ivec2(0))) || any(greaterThanEqual(at, size)) ? 1.0 : texelFetch(depth, at, 0).r;
}
float lost(ivec2 at, float own, float span, float tolerance, float count) {
  float most = tolerance * ball / 8.0, sum = 0.0;
  for (float i = 0.5; i < count; i++) {
    vec2 step = span * sqrt(i / count) * vec2(cos(i * 2.39996), sin(i * 2.39996));
    sum += clamp(own - far(at + ivec2(round(step * reach))), 0.0, most);
  }
  return 1.0 - exp(-4.4 * sum / (most * count));
}
void main() {
  ivec2 at = ivec2(gl_FragCoord.xy);
  float rim = smoothstep(0.0, 0.07, gl_FragCoord.y / float(textureSize(depth, 0).y)); // no shadow is cut by the edge
  float own = far(at), under = rim * strength * (1.0 - exp(-many * texture(pile, gl_FragCoord.xy / vec2(textureSize(depth, 0))).r));
  result = vec4(gloom * under, under);
  if (own == 1.0) return;
  float near = lost(at, own, 1.0, 2.5, 8.0), wide = lost(at, own, 3.6, 12.0, 20.0);
  float away = clamp((own - 0.5) * 4.0 + 0.5, 0.0, 1.0);
  vec3 lit = texelFetch(paint, at, 0).rgb * (1.0 - 0.5 * near);
  result = mix(result, vec4(mix(lit, fog, 0.52 * wide + 0.18 * away * (1.0 - wide)), 1.0), opacity);
}`;

function gpuPainter() {
  const canvas = document.createElement("canvas");
  const gl = canvas.getContext("webgl2", { antialias: false, depth: false });
  if (!gl) return null;
  const program = (vertex, fragment) => {
    const made = gl.createProgram();
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.bindAttribLocation(made, 0, "place");
    gl.bindAttribLocation(made, 1, "tone");
    gl.bindAttribLocation(made, 2, "gone");
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) return null;
    return { made, at: (name) => gl.getUniformLocation(made, name) };
  };
  const spheres = program(POINTS, SPHERE), finish = program(SHEET, FINISH);
  if (!spheres || !finish) return null;
  const texture = (unit) => {
    const made = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, made);
    const filter = unit === 2 ? gl.LINEAR : gl.NEAREST; // the shadow is drawn small and enlarged
    for (const side of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER]) gl.texParameteri(gl.TEXTURE_2D, side, filter);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T]) gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    return made;
  };
  const [paint, depth, pile, map] = [0, 1, 2, 3].map(texture);
  const frame = (target, deep) => {
    const made = gl.createFramebuffer();
    gl.bindFramebuffer(gl.FRAMEBUFFER, made);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
    if (deep) gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, deep, 0);
    return made;
  };
  const scene = frame(paint, depth), shadow = frame(pile);
  const buffers = [0, 1, 2].map((slot) => {
    gl.enableVertexAttribArray(slot);
    return gl.createBuffer();
  });
  const aim = (stride) => { // read one point in `stride`
    gl.bindBuffer(gl.ARRAY_BUFFER, buffers[0]);
    gl.vertexAttribPointer(0, 3, gl.SHORT, false, 6 * stride, 0);
    for (const slot of [1, 2]) {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[slot]);
      gl.vertexAttribPointer(slot, 1, gl.UNSIGNED_BYTE, true, stride, 0);
    }
  };
  aim(1);
  const resize = (width, height) => {
    if (canvas.width === width && canvas.height === height && resize.done) return;
    Object.assign(canvas, { width, height });
    const store = (unit, inner, format, type, part = 1) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.texImage2D(gl.TEXTURE_2D, 0, inner, Math.ceil(width / part), Math.ceil(height / part), 0, format, type, null);
    };
    store(0, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE);
    store(1, gl.DEPTH_COMPONENT24, gl.DEPTH_COMPONENT, gl.UNSIGNED_INT);
    store(2, gl.RGBA8, gl.RGBA, gl.UNSIGNED_BYTE, 4);
    resize.done = true;
  };
  return (target, cloud, state, view, fine) => {
    if (gl.isContextLost()) return false;
    const width = target.width * fine, height = target.height * fine;
    const short = Math.min(width, height), world = page.camera.height / view.zoom, pixels = short / world;
    resize(width, height);
    gl.activeTexture(gl.TEXTURE3);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB8, 256, 1, 0, gl.RGB, gl.UNSIGNED_BYTE, maps[cloud.kind]);
    [cloud.ready.states[state], cloud.ready.tones[state], cloud.ready.gone].forEach((data, i) => {
      gl.bindBuffer(gl.ARRAY_BUFFER, buffers[i]);
      gl.bufferData(gl.ARRAY_BUFFER, data, gl.STREAM_DRAW);
    });
    const ball = cloud.radius * view.size;
    gl.useProgram(spheres.made);
    gl.uniformMatrix3fv(spheres.at("axes"), false, axes(view));
    gl.uniform2f(spheres.at("half_"), width / pixels / 2, height / pixels / 2);
    for (const [name, value] of Object.entries({ eye: page.camera.distance, unit: cloud.unit, ball, pixels,
      ground: cloud.ready.ground[state] - ball / cloud.unit })) gl.uniform1f(spheres.at(name), value);
    gl.uniform1f(spheres.at("least"), cloud.tones ? view.least : 0);
    gl.uniform3fv(spheres.at("pale"), color("--muted"));
    gl.uniform1i(spheres.at("signed_"), cloud.kind === "diverging" ? 1 : 0);
    gl.uniform1i(spheres.at("cube"), cloud.cube ? 1 : 0);
    gl.uniform1i(spheres.at("map"), 3);
    gl.clearColor(0, 0, 0, 0);
    gl.bindFramebuffer(gl.FRAMEBUFFER, shadow);
    gl.viewport(0, 0, Math.ceil(width / 4), Math.ceil(height / 4));
    gl.clear(gl.COLOR_BUFFER_BIT);
    if (view.elevation > 0) {
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE);
      gl.uniform1i(spheres.at("flat_"), 1);
      const stride = Math.min(42, Math.ceil(cloud.count / 2048)), few = Math.floor(cloud.count / stride);
      gl.uniform1f(spheres.at("share"), Math.min(0.5, 22 / few)); // eight bits hold the pile of some 2,000 points
      aim(stride);
      gl.drawArrays(gl.POINTS, 0, few);
      aim(1);
      gl.disable(gl.BLEND);
    }
    gl.uniform1i(spheres.at("flat_"), 0);
    gl.viewport(0, 0, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.useProgram(finish.made);
    ["paint", "depth", "pile"].forEach((name, unit) => gl.uniform1i(finish.at(name), unit));
    gl.uniform3fv(finish.at("fog"), color("--surface"));
    gl.uniform3fv(finish.at("gloom"), color("--shadow"));
    gl.uniform1f(finish.at("many"), 1.5);
    gl.uniform1f(finish.at("reach"), Math.max(1, ball * pixels));
    gl.uniform1f(finish.at("ball"), ball);
    let strength = matchMedia("(prefers-color-scheme: dark)").matches ? 0.7 : 0.34;
    for (const ghosts of cloud.ghost || cloud.tones ? [1, 0] : [0]) { // all ghosts are one pale sheet behind the rest
      gl.bindFramebuffer(gl.FRAMEBUFFER, scene);
      gl.useProgram(spheres.made);
      gl.uniform1i(spheres.at("ghosts"), ghosts);
      gl.enable(gl.DEPTH_TEST);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.drawArrays(gl.POINTS, 0, cloud.count);
      gl.disable(gl.DEPTH_TEST);
      gl.bindFramebuffer(gl.FRAMEBUFFER, null);
      gl.useProgram(finish.made);
      gl.uniform1f(finish.at("opacity"), ghosts ? GHOST : 1);
      gl.uniform1f(finish.at("strength"), strength);
      gl.enable(gl.BLEND);
      gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      gl.disable(gl.BLEND);
      strength = 0; // the shadow is there now
    }
    const flat = target.getContext("2d");
    flat.clearRect(0, 0, target.width, target.height);
    flat.imageSmoothingQuality = "high";
    flat.drawImage(canvas, 0, 0, target.width, target.height);
    return true;
  };
}

// ---------------------------------------------------------------- drawing without one: discs, far to near
function plainPainter() {
  return (target, cloud, state, view) => {
    const flat = target.getContext("2d"), m = axes(view), fog = color("--surface"), map = maps[cloud.kind];
    const pixels = Math.min(target.width, target.height) * view.zoom / page.camera.height;
    const { gone } = cloud.ready, place = cloud.ready.states[state], tones = cloud.ready.tones[state], unit = cloud.unit;
    const strength = (tone) => (cloud.kind === "diverging" ? Math.abs(tone / 127.5 - 1) : tone / 255);
    const seen = Array.from({ length: cloud.count }, (_, i) => [0, 3, 6].map((r) =>
      (m[r] * place[3 * i] + m[r + 1] * place[3 * i + 1] + m[r + 2] * place[3 * i + 2]) * unit).concat(tones[i], gone[i]));
    flat.clearRect(0, 0, target.width, target.height);
    for (const [x, y, z, tone, away] of seen.sort((a, b) => a[2] - b[2])) {
      flat.globalAlpha = away || (cloud.tones && strength(tone) < view.least) ? GHOST / 3 : 1;
      const scale = pixels / Math.max(0.1, 1 - z / page.camera.distance), haze = Math.max(0, Math.min(0.6, 0.3 - 0.4 * z));
      const tint = fog.map((f, c) => Math.round(map[3 * tone + c] * (1 - haze) + 255 * f * haze));
      flat.fillStyle = `rgb(${tint})`;
      flat.beginPath();
      flat.arc(target.width / 2 + x * scale, target.height / 2 - y * scale, cloud.radius * view.size * scale, 0, 7);
      flat.fill();
    }
    flat.globalAlpha = 1;
    return true;
  };
}

