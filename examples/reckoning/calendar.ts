const dayMilliseconds = 86_400_000;

export const weekdays: readonly string[] = [
  "Monday",
  "Tuesday",
  "Wednesday",
  "Thursday",
  "Friday",
  "Saturday",
  "Sunday",
];

/** Returns the date (`2024-02-29`) that many days later in the Gregorian calendar. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * dayMilliseconds).toISOString().slice(0, 10);
}

/** Returns the days from one date to a later one, not counting the first. */
export function daysBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / dayMilliseconds;
}

/** Returns the same in a calendar whose February always has 28 days: a common mistake, and that of edition 1. */
export function daysBetweenWithoutLeapDays(from: string, to: string): number {
  let leapDays = 0;
  for (let year = Number(from.slice(0, 4)); year <= Number(to.slice(0, 4)); year++) {
    const leapDay = `${year}-02-29`;
    const exists = addDays(`${year}-02-28`, 1) === leapDay;
    if (exists && from < leapDay && leapDay <= to) leapDays++;
  }
  return daysBetween(from, to) - leapDays;
}

/** Returns the time of day (`07:05`) that many minutes after midnight, on any day. */
export function clockTime(minutes: number): string {
  const ofDay = ((minutes % 1440) + 1440) % 1440;
  const twoDigits = (value: number) => String(value).padStart(2, "0");
  return `${twoDigits(Math.floor(ofDay / 60))}:${twoDigits(ofDay % 60)}`;
}

/** Returns the minutes from midnight to a time of day. */
export function minutesOf(time: string): number {
  const [hours, minutes] = time.split(":");
  return Number(hours) * 60 + Number(minutes);
}
