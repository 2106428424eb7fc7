// Icons, drawn on a 16 px grid with lines of one width. They always stand beside words or have a label.
import type { ComponentChildren, SVGAttributes } from 'preact';

function icon(children: ComponentChildren) {
  return function Icon(props: SVGAttributes<SVGSVGElement> & { size?: number }) {
    const { size = 16, ...rest } = props;
    return (
      <svg width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" {...rest}>
        {children}
      </svg>
    );
  };
}

export const Logo = (props: { size?: number }) => (
  <svg width={props.size ?? 22} height={props.size ?? 22} viewBox="0 0 32 32" aria-hidden="true">
    <rect width="32" height="32" rx="8" fill="#8a5216" />
    <path d="M23.5 19.6A8.6 8.6 0 1 1 13 8.3a7 7 0 0 0 10.5 11.3Z" fill="#fdf6ec" />
  </svg>
);
export const Grid = icon(<><rect x="2" y="2" width="5" height="5" rx="1" /><rect x="9" y="2" width="5" height="5" rx="1" /><rect x="2" y="9" width="5" height="5" rx="1" /><rect x="9" y="9" width="5" height="5" rx="1" /></>);
export const Home = icon(<><path d="M2.5 7 8 2.5 13.5 7v6a.8.8 0 0 1-.8.8H3.3a.8.8 0 0 1-.8-.8Z" /><path d="M6.5 13.5v-4h3v4" /></>);
export const BranchIcon = icon(<><circle cx="4.5" cy="3.5" r="1.7" /><circle cx="4.5" cy="12.5" r="1.7" /><circle cx="11.5" cy="5.5" r="1.7" /><path d="M4.5 5.2v5.6M11.5 7.2c0 2.6-3.5 2.4-6.2 4" /></>);
export const Plug = icon(<><path d="M6 2v3M10 2v3M4 5h8v2.5a4 4 0 0 1-8 0ZM8 11.5V14" /></>);
export const Gauge = icon(<><path d="M2.8 12.5a6.2 6.2 0 1 1 10.4 0" /><path d="m8 9.5 2.8-3.2" /></>);
export const Coins = icon(<><circle cx="8" cy="8" r="5.8" /><path d="M10 6.2c-.4-.7-1.1-1-2-1-1.1 0-1.9.5-1.9 1.4 0 2 3.9.8 3.9 2.8 0 .9-.9 1.4-2 1.4-.9 0-1.7-.3-2.1-1M8 4.2v1M8 10.8v1" /></>);
export const ListIcon = icon(<path d="M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.01M2.5 8h.01M2.5 12h.01" />);
export const Terminal = icon(<><rect x="1.8" y="2.5" width="12.4" height="11" rx="1.5" /><path d="m4.5 6 2 2-2 2M8.5 10.5h3" /></>);
export const Search = icon(<><circle cx="7" cy="7" r="4.3" /><path d="m10.3 10.3 3.2 3.2" /></>);
export const Clock = icon(<><circle cx="8" cy="8" r="5.8" /><path d="M8 4.8V8l2.2 1.5" /></>);
export const Gear = icon(<><circle cx="8" cy="8" r="2" /><path d="M8 1.8v1.7M8 12.5v1.7M1.8 8h1.7M12.5 8h1.7M3.6 3.6l1.2 1.2M11.2 11.2l1.2 1.2M12.4 3.6l-1.2 1.2M4.8 11.2l-1.2 1.2" /></>);
export const Bell = icon(<><path d="M4 11V7a4 4 0 0 1 8 0v4l1 1.2H3ZM6.7 14h2.6" /></>);
export const Key = icon(<><circle cx="5" cy="11" r="2.7" /><path d="m7 9 6-6M10.5 5.5l2 2M12 4l1 1" /></>);
export const Scroll = icon(<><path d="M4 2.2h7a1 1 0 0 1 1 1v10.6H4.8A1.3 1.3 0 0 1 3.5 12.5V2.7" /><path d="M6 5.5h3.5M6 8h3.5M6 10.5h2" /></>);
export const MenuIcon = icon(<path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11" />);
export const Close = icon(<path d="m4 4 8 8M12 4l-8 8" />);
export const Plus = icon(<path d="M8 3v10M3 8h10" />);
export const Chevron = icon(<path d="m6 4 4 4-4 4" />);
export const ChevronDown = icon(<path d="m4 6 4 4 4-4" />);
export const More = icon(<path d="M3.5 8h.01M8 8h.01M12.5 8h.01" stroke-width="2.2" />);
export const Copy = icon(<><rect x="5.5" y="5.5" width="8" height="8" rx="1.2" /><path d="M10.5 5.5V3.7a1.2 1.2 0 0 0-1.2-1.2H3.7a1.2 1.2 0 0 0-1.2 1.2v5.6a1.2 1.2 0 0 0 1.2 1.2h1.8" /></>);
export const Check = icon(<path d="m3 8.5 3.2 3.2L13 4.8" />);
export const Warn = icon(<><path d="M8 2.3 14.2 13H1.8Z" /><path d="M8 6.5v3M8 11.3h.01" /></>);
export const Lock = icon(<><rect x="3.5" y="7" width="9" height="6.5" rx="1.2" /><path d="M5.5 7V5a2.5 2.5 0 0 1 5 0v2" /></>);
export const Eye = icon(<><path d="M1.8 8S4 3.8 8 3.8 14.2 8 14.2 8 12 12.2 8 12.2 1.8 8 1.8 8Z" /><circle cx="8" cy="8" r="1.8" /></>);
export const EyeOff = icon(<><path d="M6.3 4A6 6 0 0 1 8 3.8c4 0 6.2 4.2 6.2 4.2a10 10 0 0 1-1.7 2.2M10 11.9a5.5 5.5 0 0 1-2 .3C4 12.2 1.8 8 1.8 8a10.5 10.5 0 0 1 2.3-2.8M2.5 2.5l11 11" /></>);
export const Play = icon(<path d="M5 3.2v9.6L12.5 8Z" />);
export const Pause = icon(<path d="M5.5 3.5v9M10.5 3.5v9" />);
export const Moon = icon(<path d="M13 9.7A5.5 5.5 0 0 1 6.3 3 5.5 5.5 0 1 0 13 9.7Z" />);
export const Sun = icon(<><circle cx="8" cy="8" r="2.8" /><path d="M8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9" /></>);
export const Contrast = icon(<><circle cx="8" cy="8" r="5.8" /><path d="M8 2.2v11.6a5.8 5.8 0 0 0 0-11.6Z" fill="currentColor" /></>);
export const Refresh = icon(<path d="M13 8a5 5 0 1 1-1.5-3.6L13 6M13 2.8V6H9.8" />);
export const SignOut = icon(<path d="M6.5 2.5H3.3a.8.8 0 0 0-.8.8v9.4c0 .4.4.8.8.8h3.2M10 11l3-3-3-3M13 8H6" />);
export const External = icon(<path d="M9.5 2.5h4v4M13.5 2.5 7.5 8.5M11.5 9v4a.5.5 0 0 1-.5.5H3a.5.5 0 0 1-.5-.5V5a.5.5 0 0 1 .5-.5h4" />);
