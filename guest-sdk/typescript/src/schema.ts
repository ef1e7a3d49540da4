/**
 * Configurations: what one says once is its type, its JSON Schema, and how it is read.
 *
 * ```ts
 * const config = schema.object({
 *   url: schema.string({ description: "Where to." }),
 *   retries: schema.integer({ default: 3 }),
 *   mode: schema.oneOf(["fast", "safe"], { default: "safe" }),
 * });
 * type Config = schema.Infer<typeof config>; // { url: string; retries: number; mode: "fast" | "safe" }
 * ```
 *
 * Fields are required unless they have a default or are `optional`; unknown ones are refused.
 */

/** A JSON Schema. */
export type JsonSchema = { readonly [keyword: string]: unknown };

/** What a value has to be. */
export interface Schema<T> {
  /** The JSON Schema of it. */
  readonly json: JsonSchema;
  /** What an object has in its place where it is absent. Without this the object has to have it. */
  readonly absent?: { readonly value: T } | undefined;
  /** Reads a value, or throws a {@link Misfit} that says what is wrong at `place`. */
  read(given: unknown, place: string): T;
}

/** The type of what a schema reads. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

/** A value that does not fit its schema. */
export class Misfit extends Error {}

/** What may be said of any value. */
export interface Options<T> {
  /** What it is for. */
  readonly description?: string | undefined;
  /** What it is where it is absent. */
  readonly default?: T | undefined;
}

/** Text. */
export function string(options?: Options<string>): Schema<string> {
  return make({ type: "string" }, options, (given): given is string => typeof given === "string", "is no string");
}

/** A number. */
export function number(options?: Options<number>): Schema<number> {
  return make({ type: "number" }, options, (given): given is number => typeof given === "number", "is no number");
}

/** A number without a fraction. */
export function integer(options?: Options<number>): Schema<number> {
  const isOne = (given: unknown): given is number => Number.isInteger(given);
  return make({ type: "integer" }, options, isOne, "is no integer");
}

/** True or false. */
export function boolean(options?: Options<boolean>): Schema<boolean> {
  return make({ type: "boolean" }, options, (given): given is boolean => typeof given === "boolean", "is no boolean");
}

/** One of these words or numbers. */
export function oneOf<const T extends string | number>(values: readonly T[], options?: Options<T>): Schema<T> {
  const isOne = (given: unknown): given is T => values.some((value) => value === given);
  return make({ enum: values }, options, isOne, `is one of ${values.map((value) => JSON.stringify(value)).join(", ")}`);
}

/** A list. */
export function list<T>(items: Schema<T>, options?: Options<readonly T[]>): Schema<readonly T[]> {
  return {
    ...about({ type: "array", items: items.json }, options),
    read(given, place) {
      if (!Array.isArray(given)) throw new Misfit(`${place} is no list`);
      return given.map((one: unknown, index) => items.read(one, `${place}[${index}]`));
    },
  };
}

/** An object whose names are the user's to choose. */
export function record<T>(values: Schema<T>, options?: Options<Record<string, T>>): Schema<Record<string, T>> {
  return {
    ...about({ type: "object", additionalProperties: values.json }, options),
    read(given, place) {
      const entries = Object.entries(members(given, place));
      return Object.fromEntries(entries.map(([name, value]) => [name, values.read(value, `${place}.${name}`)]));
    },
  };
}

/** An object with these fields and no others. */
export function object<F extends Record<string, Schema<unknown>>>(
  fields: F,
  options?: Options<{ [K in keyof F]: Infer<F[K]> }>,
): Schema<{ [K in keyof F]: Infer<F[K]> }> {
  const named = Object.entries(fields);
  const required = named.filter(([, field]) => field.absent === undefined).map(([name]) => name);
  const json = {
    type: "object",
    properties: Object.fromEntries(named.map(([name, field]) => [name, field.json])),
    additionalProperties: false,
    ...(required.length > 0 && { required }),
  };
  return {
    ...about(json, options),
    read(given, place) {
      const found = members(given, place);
      const unknown = Object.keys(found).find((name) => !Object.hasOwn(fields, name));
      if (unknown !== undefined) throw new Misfit(`\`${unknown}\` is unknown in ${place}`);
      const value = ([name, field]: [string, Schema<unknown>]): [string, unknown] => {
        if (Object.hasOwn(found, name)) return [name, field.read(found[name], `\`${name}\``)];
        if (field.absent === undefined) throw new Misfit(`\`${name}\` is missing in ${place}`);
        return [name, field.absent.value];
      };
      return Object.fromEntries(named.map(value)) as { [K in keyof F]: Infer<F[K]> };
    },
  };
}

/** What may be absent. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return { ...schema, absent: { value: undefined }, read: (given, place) => schema.read(given, place) };
}

/** What JSON holds, whatever it is. */
export function any(options?: Options<unknown>): Schema<unknown> {
  return { ...about({}, options), read: (given) => given };
}

function make<T>(
  json: JsonSchema,
  options: Options<T> | undefined,
  isOne: (given: unknown) => given is T,
  otherwise: string,
): Schema<T> {
  return {
    ...about(json, options),
    read(given, place) {
      if (!isOne(given)) throw new Misfit(`${place} ${otherwise}`);
      return given;
    },
  };
}

function about<T>(json: JsonSchema, options: Options<T> = {}): Pick<Schema<T>, "json" | "absent"> {
  const { description, default: value } = options;
  return {
    json: { ...json, ...(description !== undefined && { description }), ...(value !== undefined && { default: value }) },
    absent: value === undefined ? undefined : { value },
  };
}

function members(given: unknown, place: string): Record<string, unknown> {
  if (typeof given !== "object" || given === null || Array.isArray(given)) throw new Misfit(`${place} is no object`);
  return given as Record<string, unknown>;
}
